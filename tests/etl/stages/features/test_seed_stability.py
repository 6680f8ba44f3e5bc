"""Stage `seed_stability`: every seed judged by the rules of the first, sets followed by name."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from bare_run import write_inputs

from feature_atlas.etl.config.features import SelectionConfig
from feature_atlas.etl.run_folder.artifacts import StageOutput
from feature_atlas.etl.stages.features import seed_stability as stage
from feature_atlas.etl.stages.features.feature_choice import Feature

LAYERS, D_SAE, N_SEEDS = [2, 5], 200, 3


@pytest.fixture
def cosines() -> dict[tuple[str, int], np.ndarray]:
    """By regime and seed, [layer, d_sae]: 20 turn in all seeds, 20 in the first, 20 in two."""
    random = np.random.default_rng(3)
    found = {
        (regime, seed_no): random.uniform(0.97, 0.99, (2, D_SAE)).astype(np.float32)
        for regime in stage.REPEATED
        for seed_no in range(N_SEEDS)
    }
    for seed_no, last in enumerate((30, 10, 20)):
        found["text", seed_no][:, :last] = 0.4 + 0.01 * seed_no
    return found


def written(cosines, tmp_path: Path, monkeypatch, regimes=stage.REPEATED):
    def facts(_study, regime, layer, seed_no):
        return {
            "cosine": cosines[regime, seed_no][LAYERS.index(layer)],
            "n_firings": np.full(D_SAE, 500),
        }

    monkeypatch.setattr(stage, "training_facts", facts)
    monkeypatch.setattr(stage, "trained_regimes", lambda _: list(regimes))
    monkeypatch.setattr(stage, "by_layer", lambda *_: np.ones((2, D_SAE)))
    chosen = {"candidates_of": range(5, 25), "survivors_of": ()}
    for name, features in chosen.items():
        monkeypatch.setattr(stage, name, lambda *_, of=features: [Feature(2, f) for f in of])
    write_inputs(tmp_path, LAYERS, D_SAE)
    (tmp_path / "seed_stability").mkdir()
    output = StageOutput(tmp_path / "seed_stability")
    config = SimpleNamespace(
        adapt=SimpleNamespace(seeds=range(N_SEEDS)),
        selection=SelectionConfig(cosine_quantile=0.15),
        harvest=SimpleNamespace(skills=("spatial",)),
    )
    stage._write(output, SimpleNamespace(run=tmp_path, layers=LAYERS, config=config))
    return [pq.read_table(tmp_path / file["path"]).to_pandas() for file in output.files]


def test_a_feature_is_counted_in_every_seed_in_which_it_turned(cosines, tmp_path, monkeypatch):
    features, sets = written(cosines, tmp_path, monkeypatch)

    first = features[features.layer == 2].set_index("feature")
    assert first.n_seeds_turned_by_vision[:10].tolist() == [3] * 10
    assert first.n_seeds_turned_by_vision[10:20].tolist() == [2] * 10
    assert first.n_seeds_turned_by_vision[20:30].tolist() == [1] * 10
    assert (first.n_seeds_turned_by_vision[30:] == 0).all()
    assert (first.n_seeds_adapted >= first.n_seeds_turned_by_vision).all()
    assert first.cosine_mean[0] == pytest.approx(0.41)
    assert first.cosine_sd[0] == pytest.approx(0.01, rel=1e-4)
    of = sets.set_index(["feature_set", "n_seeds"])
    assert of.loc["turned by vision"].n_features.tolist() == [60, 40, 20]
    # 20 and 40 of 400 in the other seeds
    expected = [1, 1 - 0.95 * 0.9, 0.05 * 0.1]
    np.testing.assert_allclose(of.loc["turned by vision"].share_by_chance, expected, rtol=1e-6)
    assert of.loc["spatial candidates"].n_features[1] == 20
    assert of.loc["spatial survivors"].share.isna().all()


def test_without_controls_there_is_no_word_of_vision(cosines, tmp_path, monkeypatch):
    features, sets = written(cosines, tmp_path, monkeypatch, regimes=("text", "refit"))

    assert "n_seeds_turned_by_vision" not in features
    assert "turned by vision" not in set(sets.feature_set)
