"""Adaptation on the shipped tiny world: what a stage leaves, and what the run says of it."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from run_folder import read_rows, replace_rows
from sqlalchemy import Engine, text
from stage_runs.adapted_run import LAYERS, adapted, opened

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.run_folder.artifacts import read_json, read_table
from feature_atlas.etl.stages.dictionary import train_dictionary
from feature_atlas.etl.stages.dictionary.adapt import (
    adapt_stages,
    adapted_sae,
    run_adapt,
    trained_regimes,
    training_facts,
)
from feature_atlas.etl.study import Study
from feature_atlas.etl.warehouse.load import ingest


def test_each_stream_is_a_stage(study: Study):
    done = {file.parent.name for file in study.run.glob("adapt-*/stage.json")}

    assert trained_regimes(study) == ["text", "image", "full", "random", "refit", "language"]
    assert done == {f"adapt-{s}" for s in ("prompts", "pictures", "questions", "base-text")}
    assert adapt_stages(study, "text") == ["adapt-prompts"]
    assert adapt_stages(study, "image", "random", "refit") == ["adapt-pictures", "adapt-base-text"]
    assert not list(study.run.glob("*.unfinished")), "a finished stage keeps no scratch"


def test_every_regime_left_its_dictionaries_and_all_trained_for_as_many_steps(study: Study):
    for regime in trained_regimes(study):
        for layer in LAYERS:
            sae, facts = adapted_sae(study, regime, layer), training_facts(study, regime, layer)
            base = study.base[layer]
            assert sae.scale == base.scale
            assert len(facts["losses"]) == 12
            untouched = torch.from_numpy(facts["n_firings"] == 0)
            kept = torch.nn.functional.cosine_similarity(sae.w_dec, base.w_dec).clamp(-1, 1)
            if regime != "random":
                assert (kept[untouched] > 1 - 1e-6).all()
                assert kept[~untouched].min() < 1 - 1e-6
                norm = torch.from_numpy(facts["decoder_norm"])
                torch.testing.assert_close(norm[untouched], base.w_dec.norm(dim=-1)[untouched])
            else:
                assert kept.abs().mean() < 0.15


def test_the_curve_has_all_roles_and_the_regimes_own_together(study: Study):
    stages = ("adapt-prompts", "adapt-pictures", "adapt-questions")
    text, pictures, controls = (
        read_table(study.run, stage, "training_curve").to_pylist() for stage in stages
    )

    roles = Counter(row["role"] for row in text)
    assert {"all", "image", "question", "header"} <= roles.keys()
    assert "bos" not in roles  # the same in every prompt: no variance to explain
    assert len(set(roles.values())) == 1
    assert {row["layer"] for row in text} == set(LAYERS)
    assert "image" not in {row["role"] for row in controls}
    for row in text + pictures + controls:
        assert np.isfinite([row["fvu"], row["l0"]]).all()
        assert 0 < row["n_tokens"] <= 300
    rows = [row for row in text + pictures if row["layer"] == LAYERS[1]]
    start = {(r["regime"], r["role"]): r["fvu"] for r in rows if r["tokens_seen"] == 0}
    end = {(r["regime"], r["role"]): r["fvu"] for r in rows if r["tokens_seen"] == 3072}
    assert end["text", "all"] < start["text", "all"]
    assert start["text", "image"] == start["image", "all"]  # one base, the same held-out tokens


def test_a_dictionary_is_read_once_while_its_stage_stays(study: Study):
    assert adapted_sae(study, "text", 1) is adapted_sae(study, "text", 1)
    with pytest.raises(ValueError, match=r"'instruct' is not trained .* expected one of text,"):
        adapted_sae(study, "instruct", 1)
    with pytest.raises(ValueError, match=r"layer 0 is not studied; expected one of \[1, 4\]"):
        adapted_sae(study, "text", 0)


def test_without_a_base_model_there_is_no_null_and_the_run_says_so(config: RunConfig, tmp_path):
    adapt = config.adapt.model_copy(update={"regimes": ("text", "refit"), "n_tokens": 512})
    alone = config.model_copy(update={"base_model": None, "adapt": adapt})

    study = adapted(alone, tmp_path)

    assert trained_regimes(study) == ["text"]
    (warning,) = read_json(study.run / "adapt-prompts" / "stage.json")["warnings"]
    assert "No null for rotation" in warning


def test_the_learning_rate_can_follow_the_activation_scale(config: RunConfig, study: Study):
    adapt = config.adapt.model_copy(update={"learning_rate_scaling": "activation_scale"})
    scaled = Study(study.run)
    scaled.config = study.config.model_copy(update={"adapt": adapt})

    plain = [train_dictionary._plan(study, layer).learning_rate for layer in LAYERS]
    rates = [train_dictionary._plan(scaled, layer).learning_rate for layer in LAYERS]

    scales = [study.base[layer].scale for layer in LAYERS]
    assert plain == [config.adapt.learning_rate] * 2
    assert rates[0] / rates[1] == pytest.approx(scales[0] / scales[1])
    assert rates[0] * rates[1] == pytest.approx(config.adapt.learning_rate**2)


def test_dictionaries_that_no_later_stage_reads_leave_numbers_alone(
    config: RunConfig, study: Study, tmp_path
):
    few = config.model_copy(update={"adapt": config.adapt.model_copy(update={"keep": "read"})})
    lean = opened(few, tmp_path)

    for stream in ("prompts", "pictures"):
        run_adapt(lean.run, stream)

    assert lean.inputs["config_hash"] == study.inputs["config_hash"]
    assert {folder.name for folder in lean.run.glob("adapt-*/sae/*")} == {"text"}
    for regime in ("text", "random"):
        ours, whole = (training_facts(s, regime, 4) for s in (lean, study))
        assert all(np.array_equal(ours[name], whole[name]) for name in whole)
    with pytest.raises(
        FileNotFoundError, match=r"regime image were not kept .* adapt\.keep to all"
    ):
        adapted_sae(lean, "image", 4)


def test_another_seed_changes_the_order_alone_and_nothing_of_the_first(
    config: RunConfig, study: Study, tmp_path
):
    adapt = config.adapt.model_copy(update={"regimes": ("text", "full"), "seeds": (0, 4)})
    twice = opened(config.model_copy(update={"adapt": adapt}), tmp_path)

    for stream in ("prompts", "pictures"):
        run_adapt(twice.run, stream)

    first, again = (training_facts(twice, "text", 4, seed_no) for seed_no in (0, 1))
    whole = training_facts(study, "text", 4)
    assert all(np.array_equal(first[name], whole[name]) for name in whole)
    assert not np.array_equal(first["losses"], again["losses"])
    assert np.array_equal(first["base_norm"], again["base_norm"])
    assert np.corrcoef(first["cosine"], again["cosine"])[0, 1] > 0.9
    assert not list(twice.run.glob("adapt-pictures/*seed*")), "of the controls alone"
    assert [f.name for f in twice.run.glob("adapt-prompts/sae/*/*")].count("layer_4") == 1


@pytest.mark.parametrize("regime", ["text", "random", "refit"])
def test_how_far_features_turned_is_said_of_the_dictionary_that_was_written(study: Study, regime):
    facts, base = training_facts(study, regime, 4), study.base[4].w_dec.double()
    written = adapted_sae(study, regime, 4).w_dec.double()

    between = torch.nn.functional.normalize(written) @ torch.nn.functional.normalize(base).T

    np.testing.assert_allclose(facts["cosine"], between.diag().numpy(), atol=1e-6)
    np.testing.assert_allclose(facts["best_base_cosine"], between.amax(1).numpy(), atol=1e-6)


def test_curves_of_a_version_without_roles_are_of_all_roles_together(
    run_folder: Path, engine: Engine, tmp_path
):
    folder = Path(shutil.copytree(run_folder, tmp_path / run_folder.name))
    rows = read_rows(folder, "training_curve")
    before = rows.filter(pc.equal(rows["role"], "all")).drop_columns("role")
    replace_rows(folder, "training_curve", before)

    ingest(folder, engine)

    with engine.connect() as connection:
        found = connection.execute(text("SELECT role, fvu FROM atlas.training_curve")).all()
    assert {row.role for row in found} == {"all"}
    assert sorted(row.fvu for row in found) == pytest.approx(sorted(before["fvu"].to_pylist()))
