"""Stages `decoder_cosine` and `selection`: what they write of regimes trained by other means."""

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from bare_run import write_inputs

from feature_atlas.etl.config.features import SelectionConfig
from feature_atlas.etl.run_folder.artifacts import StageOutput
from feature_atlas.etl.stages.dictionary.adaptation_files import turned as how_far_turned
from feature_atlas.etl.stages.features import decoder_cosine as cosine_stage
from feature_atlas.etl.stages.features import selection as selection_stage
from feature_atlas.features.excess_rotation import Rotation, excess_rotation, turned_further

LAYERS, D_SAE, D_MODEL = [2, 5], 200, 16
REGIMES = ["text", "random", "refit", "language"]
TESTS = ["null_cosine", "excess_rotation", "rotation_p_value", "rotation_q_value"]


class Sae(NamedTuple):
    w_enc: torch.Tensor
    w_dec: torch.Tensor


def turned(base: Sae, degrees: torch.Tensor) -> Sae:
    """Every row of the decoder turned by its angle; the encoder doubled."""
    aside = torch.randn_like(base.w_dec)
    unit = torch.nn.functional.normalize(base.w_dec, dim=1)
    aside = torch.nn.functional.normalize(aside - (aside * unit).sum(1, keepdim=True) * unit, dim=1)
    angle = degrees.deg2rad()[:, None]
    rows = angle.cos() * unit + angle.sin() * aside
    return Sae(2 * base.w_enc, torch.where(degrees[:, None] > 0, rows, base.w_dec))


@pytest.fixture
def degrees() -> dict[str, torch.Tensor]:
    """By how much each feature turned, [layer, d_sae]: 100 turn by vision, 50 by language."""
    noise = {regime: 3 + 4 * torch.rand(2, D_SAE) for regime in ("text", "refit", "language")}
    noise["text"][:, :75] = noise["language"][:, 50:75] = 60
    for angle in noise.values():
        angle[:, 190:] = 0  # never fired
    return noise | {"random": torch.full((2, D_SAE), 90.0)}


@pytest.fixture
def study(
    degrees: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SimpleNamespace:
    base = {i: Sae(torch.randn(D_MODEL, D_SAE), torch.randn(D_SAE, D_MODEL)) for i in LAYERS}
    saes = {
        (regime, layer): turned(base[layer], degrees[regime][i])
        for regime in degrees
        for i, layer in enumerate(LAYERS)
    }
    facts = {
        (regime, layer): {
            "n_firings": np.where(np.arange(D_SAE) < 190, 500, 0),
            "decoder_norm": np.full(D_SAE, 1.5, np.float32),
            **how_far_turned(base[layer], sae),
        }
        for (regime, layer), sae in saes.items()
    }
    monkeypatch.setattr(cosine_stage, "training_facts", lambda study, *key: facts[key])
    for stage in (cosine_stage, selection_stage):
        monkeypatch.setattr(stage, "trained_regimes", lambda study: study.regimes)
    config = SimpleNamespace(selection=SelectionConfig(cosine_quantile=0.4))
    return SimpleNamespace(
        run=tmp_path, layers=LAYERS, base=base, config=config, regimes=list(REGIMES)
    )


def written(study: SimpleNamespace) -> pa.Table:
    """The rows of the stage."""
    write_inputs(study.run, LAYERS, D_SAE)
    folder = study.run / "decoder_cosine"
    folder.mkdir()
    output = StageOutput(folder)
    cosine_stage._write(output, study)
    return pa.concat_tables(pq.read_table(study.run / file["path"]) for file in output.files)


def of(rows: pa.Table, regime: str, column: str) -> np.ndarray:
    frame = rows.to_pandas()
    return frame[frame.regime == regime][column].to_numpy().reshape(2, D_SAE)


def test_every_regime_has_its_geometry_in_the_order_of_layers_and_features(
    study: SimpleNamespace, degrees: dict[str, torch.Tensor]
):
    rows = written(study)

    assert sorted(set(rows["regime"].to_pylist())) == sorted(REGIMES)
    for regime in REGIMES:
        expected = torch.where(degrees[regime] > 0, degrees[regime].deg2rad().cos(), 1)
        np.testing.assert_allclose(of(rows, regime, "cosine"), expected, atol=1e-6)
        assert (of(rows, regime, "encoder_cosine") == 1).all()
        assert of(rows, regime, "layer")[:, 0].tolist() == LAYERS
        assert (of(rows, regime, "feature") == np.arange(D_SAE)).all()
        assert (of(rows, regime, "adapted_norm") == 1.5).all()
    assert (of(rows, "text", "cosine")[:, 190:] == 1).all()
    assert (of(rows, "text", "best_base_feature")[:, 190:] == np.arange(190, D_SAE)).all()
    norms = torch.stack([study.base[i].w_dec.double().norm(dim=1) for i in LAYERS])
    np.testing.assert_allclose(of(rows, "text", "base_norm"), norms, rtol=1e-6)


def test_what_started_from_the_base_is_set_against_the_null(study: SimpleNamespace):
    rows = written(study)

    n = of(rows, "text", "n_firings")
    refit = Rotation(of(rows, "refit", "cosine"), n)
    for regime in ("text", "language"):
        found = excess_rotation(Rotation(of(rows, regime, "cosine"), n), refit)
        for column, expected in zip(TESTS, found, strict=True):
            np.testing.assert_array_equal(of(rows, regime, column), expected)
    for column in TESTS:
        assert np.isnan(of(rows, "refit", column)).all()
        assert np.isnan(of(rows, "random", column)).all()


def test_without_a_null_there_is_nothing_to_compare_with(study: SimpleNamespace):
    study.regimes.remove("refit")

    rows = written(study)

    assert all(rows[column].null_count == rows.num_rows for column in TESTS)


@pytest.fixture
def select(study: SimpleNamespace, monkeypatch: pytest.MonkeyPatch):
    """The rows of the stage `selection`; all features see but the last of those that turned."""

    def select() -> pa.Table:
        energy = np.ones((2, D_SAE))
        energy[:, 49] = 0
        tables = {
            "decoder_cosine": written(study),
            "visual_energy": pa.table({"energy_question": energy.ravel()}),
        }
        monkeypatch.setattr(
            selection_stage,
            "read_table",
            lambda run, stage, table, columns: tables[table].select(columns),
        )
        folder = study.run / "selection"
        folder.mkdir()
        output = StageOutput(folder)
        selection_stage._write(output, study)
        return pq.read_table(study.run / output.files[0]["path"])

    return select


def test_vision_turned_what_neither_training_nor_language_did(select):
    frame = select().to_pandas()

    by_vision = (frame.feature < 49).to_numpy()
    assert frame.is_turned_by_vision[by_vision].all()
    assert frame.is_turned_by_vision[~by_vision].mean() < 0.05  # a false one among twenty
    assert frame.is_beyond_null[frame.feature < 75].all()
    assert not frame.is_beyond_language[(frame.feature >= 50) & (frame.feature < 75)].any()
    assert not frame.is_adapted[frame.feature == 49].any()
    assert frame.is_beyond_null[frame.feature == 49].all()
    assert not frame[frame.feature >= 190].is_beyond_null.any()


def test_the_classes_are_those_of_their_functions(select, study: SimpleNamespace):
    frame = select().to_pandas()

    rows = pa.concat_tables(
        pq.read_table(file) for file in sorted((study.run / "decoder_cosine").glob("*.parquet"))
    )
    rotations = [
        Rotation(*(of(rows, regime, column) for column in Rotation._fields))
        for regime in ("text", "language", "refit")
    ]
    further = turned_further(*rotations, confidence=0.95)
    assert frame.is_beyond_language.tolist() == further.ravel().tolist()
    assert (frame.is_turned_by_vision == (
        frame.is_adapted & frame.is_beyond_null & frame.is_beyond_language
    )).all()  # fmt: skip


@pytest.mark.parametrize(("missing", "known"), [("language", ["is_beyond_null"]), ("refit", [])])
def test_a_control_that_was_not_trained_leaves_its_columns_out(
    missing: str, known: list[str], select, study: SimpleNamespace
):
    study.regimes.remove(missing)

    assert select().column_names == ["layer", "feature", "is_adapted", "cosine_rank", *known]
