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
from stage_runs.adapted_run import LAYERS, adapted

from feature_atlas.etl.config.run_config import RunConfig
from feature_atlas.etl.run_folder.artifacts import read_json, read_table
from feature_atlas.etl.stages.dictionary import adapt as stages
from feature_atlas.etl.stages.dictionary.adapt import (
    adapt_stages,
    adapted_sae,
    trained_regimes,
    training_facts,
)
from feature_atlas.etl.study import Study
from feature_atlas.etl.warehouse.load import ingest


def test_each_stream_and_group_of_layers_is_a_stage(study: Study):
    done = {file.parent.name for file in study.run.glob("adapt-*/stage.json")}

    assert trained_regimes(study) == ["text", "image", "full", "random", "refit", "language"]
    assert done == {f"adapt-{s}-{g}" for s in ("prompts", "questions", "base-text") for g in (0, 1)}
    assert adapt_stages(study, "text") == ["adapt-prompts-0", "adapt-prompts-1"]
    assert adapt_stages(study, "text", "image", "refit") == [
        *adapt_stages(study, "text"), "adapt-base-text-0", "adapt-base-text-1",
    ]  # fmt: skip
    assert not list(study.run.glob("*.unfinished")), "a finished training keeps no state"


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
    rows = read_table(study.run, "adapt-prompts-1", "training_curve").to_pylist()
    controls = read_table(study.run, "adapt-questions-1", "training_curve").to_pylist()

    roles = Counter(row["role"] for row in rows if row["regime"] == "text")
    assert {"all", "image", "question", "header"} <= roles.keys()
    assert "bos" not in roles  # the same in every prompt: no variance to explain
    assert len(set(roles.values())) == 1
    assert {row["layer"] for row in rows} == {LAYERS[1]}
    assert "image" not in {row["role"] for row in controls}
    for row in rows + controls:
        assert np.isfinite([row["fvu"], row["l0"]]).all()
        assert 0 < row["n_tokens"] <= 300
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
    warnings = read_json(study.run / "adapt-prompts-0" / "stage.json")["warnings"]
    assert len(warnings) == 1
    assert "No null for rotation" in warnings[0]
    assert read_json(study.run / "adapt-prompts-1" / "stage.json")["warnings"] == []


def test_the_learning_rate_can_follow_the_activation_scale(config: RunConfig, study: Study):
    plain = stages._plan(study, LAYERS)
    adapt = config.adapt.model_copy(update={"learning_rate_scaling": "activation_scale"})
    scaled = Study(study.run)
    scaled.config = study.config.model_copy(update={"adapt": adapt})

    factors = stages._plan(scaled, LAYERS).rate_factors

    scales = [study.base[layer].scale for layer in LAYERS]
    assert plain.rate_factors == {}
    assert factors[1] / factors[4] == pytest.approx(scales[0] / scales[1])
    assert factors[1] * factors[4] == pytest.approx(1)


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
