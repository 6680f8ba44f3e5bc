"""Scores read from a run's tables, and what is said of two of them side by side."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from run_folder import read_rows, write_run_folder

from feature_atlas.etl.stages.meaning import chance_score as stage
from feature_atlas.etl.stages.meaning.chance_score import row_of, scores_of
from feature_atlas.statistics.beside_chance import summary

CONFIG = SimpleNamespace(harvest=SimpleNamespace(skills=("spatial", "ocr")))


def test_scores_are_those_of_the_tables(tmp_path: Path, monkeypatch):
    run = write_run_folder(tmp_path)
    rows = {t: read_rows(run, t).to_pandas() for t in ("firing_shift", "candidate", "ablation")}
    monkeypatch.setattr(stage, "read_table", lambda _, __, table, of: read_rows(run, table))
    monkeypatch.setattr(stage, "read_rows", lambda _, __, table: read_rows(run, table).to_pylist())

    found = scores_of(SimpleNamespace(run=run, config=CONFIG))

    energy = read_rows(run, "visual_energy").to_pandas()
    assert found["visual energy"].tolist() == energy.energy_question.tolist()
    silent = energy.fired_question == 0
    assert np.isnan(found["modality preference"][silent]).all()
    shift = rows["firing_shift"].query("skill == 'spatial'")
    assert found["spatial: recruited"].sum() == shift.is_candidate.sum() > 0
    np.testing.assert_allclose(
        np.exp(found["spatial: log odds ratio of these"]), shift.odds_ratio[shift.is_candidate]
    )
    survives = rows["candidate"].query("skill == 'spatial'").survives
    assert found["spatial: survives neutral prompts"].tolist() == survives.tolist()
    assert set(found["F1"]) == {np.float32(0.8)}, "of plain pictures, not of overlays"
    removed = rows["ablation"].query(
        "evaluation == 'vsr_relation' and intervention == 'directional' and control_no == 0"
    )
    assert found["ablation: change of accuracy"].tolist() == removed.delta_accuracy.tolist() != []


def test_a_score_is_beyond_chance_where_the_intervals_lie_apart():
    low, high = np.linspace(0, 0.2, 20), np.linspace(0.5, 0.9, 20)

    assert row_of("F1", summary(high), summary(low))["is_beyond_chance"] is True
    assert row_of("F1", summary(low), summary(high))["is_beyond_chance"] is True
    assert row_of("F1", summary(high), summary(high + 0.01))["is_beyond_chance"] is False
    alone = row_of("F1", summary(high), summary(low[:1]))
    assert alone["is_beyond_chance"] is None
    assert (alone["n"], alone["n_random"], alone["random_mean"]) == (20, 1, 0)
