"""Directions from labels on a small study: from train alone, removed and added as features are."""

import numpy as np
import pytest
import torch
from stage_runs.plain_margins import hidden_states, plain_margins
from stage_runs.removal_study import RELATION

import feature_atlas.etl.stages.ablation.supervised_direction as stage
from feature_atlas.ablation.intervention import addition, directional
from feature_atlas.etl.run_folder.artifacts import read_rows
from feature_atlas.etl.stages.ablation.evaluation_sets import labels_of, other_relations
from feature_atlas.etl.stages.ablation.evaluation_sets import statements_of as statements
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.study import Study

WAYS = [(c, m) for c in ("relation", "truth") for m in ("diff_mean", "probe")]


def held_out(study: Study) -> tuple[int, ...]:
    return statements(study, RELATION, ["vsr-test"]).numbers


def test_there_is_a_row_for_every_way_to_find_one(study: Study) -> None:
    rows = read_rows(study.run, "supervised_direction", "supervised_direction")

    assert [(r["contrast"], r["method"]) for r in rows] == WAYS
    assert {r["relation"] for r in rows} == {RELATION}


def test_a_direction_is_that_of_its_training_statements(study: Study) -> None:
    """By hand, from the hidden states of transformers itself."""
    (of, vector, _), *_ = stage.read_directions(study)
    own, _ = stage.training_statements(study, RELATION)
    means = []
    for number in own.numbers:
        layers, _, is_text = hidden_states(study, number)
        means.append(layers[of["layer"]][is_text].double().mean(0))
    x = torch.stack(means).numpy()
    difference = x[own.is_yes].mean(0) - x[~own.is_yes].mean(0)

    assert vector @ difference / np.linalg.norm(difference) == pytest.approx(1, abs=1e-6)


def test_nothing_of_the_test_split_decides_a_direction(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "adapted_sae", lambda study, _regime, layer: study.base[layer])
    found, _ = stage.find(study.run, RELATION)
    unseen = study.samples["vsr-test"]
    other = [s._replace(answer="no" if s.answer == "yes" else "yes") for s in unseen]
    monkeypatch.setitem(study.samples, "vsr-test", other[::-1])

    again, _ = stage.find(study.run, RELATION)

    chosen = ("layer", "n_positive", "n_negative", "cost", "auc_train", "nearest_feature")
    for one, same in zip(found, again, strict=True):
        assert [getattr(one, name) for name in chosen] == [getattr(same, name) for name in chosen]
        np.testing.assert_array_equal(one.vector, same.vector)
        np.testing.assert_array_equal(one.shuffled, same.shuffled)
    assert [one.auc_held_out for one in found] != [one.auc_held_out for one in again]


def test_training_and_scoring_share_no_statement(study: Study) -> None:
    train = {n for one in stage.training_statements(study, RELATION) for n in one.numbers}
    scored = {n for one in stage.held_out_statements(study, RELATION).values() for n in one.numbers}

    assert {sample_of(study, n).dataset for n in train} == {"vsr-train"}
    assert {sample_of(study, n).dataset for n in scored} == {"vsr-test"}
    said = [{(sample_of(study, n).question, sample_of(study, n).image) for n in one}
            for one in (train, scored)]  # fmt: skip
    assert not said[0] & said[1]


@pytest.mark.parametrize("place", [0, 3])
def test_a_removal_is_that_of_a_plain_hooked_pass(study: Study, place: int) -> None:
    of, vector, shuffled = stage.read_directions(study)[place]
    assert shuffled.shape == (2, len(vector))
    rows = [
        r
        for r in read_rows(study.run, "supervised_ablation", "supervised_ablation")
        if (r["contrast"], r["method"]) == WAYS[place]
    ]
    edit = directional(torch.from_numpy(vector).float())
    for evaluation in (
        statements(study, RELATION, ["vsr-test"]),
        other_relations(study, RELATION, study.config.ablation.n_other),
    ):
        [row] = [
            r for r in rows if r["evaluation"] == evaluation.name and r["control_no"] == 0
        ]  # fmt: skip
        label = labels_of(study, evaluation)
        right = [
            (plain_margins(study, evaluation.numbers, edits) > 0).numpy() == label
            for edits in ({}, {of["layer"]: edit})
        ]
        assert row["accuracy_before"] == pytest.approx(right[0].mean())
        assert row["delta_accuracy"] == pytest.approx(right[1].mean() - right[0].mean())
    own = [r for r in rows if r["evaluation"] == "vsr_relation"]
    assert [r["control_kind"] for r in own] == [None, *["shuffled"] * 2, *["direction"] * 2]


def test_the_feature_beside_it_answered_the_same_questions(study: Study) -> None:
    rows = read_rows(study.run, "supervised_ablation", "supervised_ablation")
    features = read_rows(study.run, "ablation", "ablation")
    for row in rows:
        if row["evaluation"] != "vsr_relation" or row["control_no"]:
            assert row["delta_less_feature"] is None
            continue
        [feature] = [
            r
            for r in features
            if (r["layer"], r["feature"]) == (row["compared_layer"], row["compared_feature"])
            and (r["evaluation"], r["intervention"]) == ("vsr_relation", "directional")
            and r["control_no"] == 0
        ]
        assert row["n_samples"] == feature["n_samples"]
        assert row["accuracy_before"] == feature["accuracy_before"]
        expected = row["delta_accuracy"] - feature["delta_accuracy"]
        assert row["delta_less_feature"] == pytest.approx(expected)


def test_adding_by_zero_adds_nothing_and_twice_adds_two_deviations(study: Study) -> None:
    of, vector, _ = stage.read_directions(study)[0]
    nothing, twice, *_ = read_rows(study.run, "supervised_steering", "supervised_steering")

    assert (nothing["alpha"], nothing["length"], nothing["yes_margin_delta"]) == (0, 0, 0)
    numbers = held_out(study)[:8]
    edit = addition(torch.from_numpy(vector).float(), twice["length"])
    moved = plain_margins(study, numbers, {of["layer"]: edit}) - plain_margins(study, numbers, {})
    assert twice["alpha"] == 2
    assert twice["yes_margin_delta"] == pytest.approx(float(moved.mean()), abs=1e-3)
