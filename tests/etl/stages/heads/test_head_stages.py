"""The stages about heads on a small study: what a corrupt run is, what is shared, what resumes.

Adaptation and harvest are replaced by the base dictionaries and by chosen features and samples.
"""

from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from stage_runs.head_study import FEATURES, TOP, opened, top_of

import feature_atlas.etl.stages.heads.clean_and_corrupt as both_runs
import feature_atlas.etl.stages.heads.exact_patch as exact_stage
import feature_atlas.etl.stages.heads.head_attribution as stage
import feature_atlas.etl.stages.heads.head_knockout as knockout_stage
from feature_atlas.dictionary.sae import unit_directions
from feature_atlas.etl.run_folder.artifacts import read_rows, read_stage
from feature_atlas.etl.stages.heads.head_drives import best_estimate, drives_by
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.skill import QUESTION
from feature_atlas.heads.grad_drop import droppable_writes, dropped_scores
from feature_atlas.heads.head_attribution import (
    attribute_heads,
    run_clean_and_corrupt,
    scores_of_rows,
    through_softmax,
)
from feature_atlas.heads.integrated_gradients import both_ways, run_between, steps
from feature_atlas.heads.relevance import relevance_rules
from feature_atlas.vlm.token_roles import TEXT_ROLES, Role

SCOPE = "within_feature"
SHIPPED_WORDINGS = (
    "Answer the question with a single word or phrase: {question}",
    "{question} Answer briefly.",
)


def test_a_feature_scores_as_if_it_were_alone_with_its_samples(run: Path):
    stage.run_head_attribution(run)

    study = open_study(run)
    rows = read_rows(run, "head_attribution", "head_attribution")
    assert len(rows) == 2 * 8 * (4 + 2 + 4)  # methods, heads, layers of the three features
    for feature in FEATURES:
        [prompts] = both_runs.clean_and_corrupt(study, top_of(study, feature), 4, "mean")
        text = torch.isin(prompts.batch.roles, torch.tensor(TEXT_ROLES))
        direction = unit_directions(study.base[feature.layer])[feature.feature]
        scores = attribute_heads(
            study.vlm.model, prompts.both(study.vlm.model), text, feature.layer, direction[None]
        )
        for row in (r for r in rows if (r["layer"], r["feature"]) == feature):
            at = ("AB".index(row["method"]), 0, slice(None), row["head_layer"], row["head"])
            assert row["q"] == pytest.approx(float(scores.q[at].mean()), abs=1e-4)
            assert row["z"] == pytest.approx(float(scores.z[at].mean()), abs=1e-4)
            assert row["qk_fix"] == pytest.approx(float(scores.qk_fix[at].mean()), abs=1e-4)


def test_further_rules_score_a_feature_as_if_it_were_alone_with_its_samples(run: Path):
    stage.run_head_attribution(run)

    study = open_study(run)
    model, rows = study.vlm.model, read_rows(run, "head_attribution", "head_estimate")
    feature = FEATURES[0]
    [prompts] = both_runs.clean_and_corrupt(study, top_of(study, feature), 4, "mean")
    text = torch.isin(prompts.batch.roles, torch.tensor(TEXT_ROLES))
    asked = (text, feature.layer, unit_directions(study.base[feature.layer])[[feature.feature]])
    with relevance_rules(model):
        relevance = through_softmax(attribute_heads(model, prompts.both(model), *asked))
    with droppable_writes(model) as drop:
        runs = run_clean_and_corrupt(model, prompts.both(model), [feature.layer])
        dropped = dropped_scores(runs, drop, *asked)
    integrated = sum(
        weight * scores_of_rows(run_between(model, prompts.between(model, at), runs, [3]), *asked)
        for at, weight in steps(5)
    )
    expected = {"relp": relevance, "grad_drop": dropped, "ig": both_ways(integrated)}
    mine = [r for r in rows if (r["layer"], r["feature"]) == feature]
    assert len(mine) == 3 * 2 * 4 * 8  # rules, methods, layers, heads
    for row, part in product(mine, ("qk", "v", "z")):
        at = ("AB".index(row["method"]), 0, slice(None), row["head_layer"], row["head"])
        found = getattr(expected[row["rule"]], part)[at].mean()
        assert row[part] == pytest.approx(float(found), abs=1e-4)


def test_rankings_that_all_samples_share_are_stable(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(TOP, FEATURES[1], [0, 0, 0])
    monkeypatch.setattr(stage, "studied_features", lambda _study: FEATURES[:2])
    stage.run_head_attribution(run)

    rows = read_rows(run, "head_attribution", "head_stability")
    assert len(rows) == 2 * 15
    for r in rows:
        are_alike = (r["layer"], r["feature"]) == FEATURES[1]
        assert (r["spearman"], r["jaccard"]) == pytest.approx((1, 1)) or not are_alike
        assert 0 < r["spearman"] < 1 or are_alike


def test_rankings_are_compared_with_those_of_the_same_questions_in_other_words(
    world: Path, tmp_path: Path, replaced: None
):
    run = opened(world, tmp_path, rules=(), n_paraphrases=3)
    stage.run_head_attribution(run)

    rows = read_rows(run, "head_attribution", "head_stability")
    in_words = [r for r in rows if r["over"] == "wordings"]
    assert len(in_words) == len(rows) / 2 == 3 * 6  # features; A, B and mean with and without fix
    study, feature = open_study(run), FEATURES[0]
    asked = (feature.layer, unit_directions(study.base[feature.layer])[[feature.feature]])
    rankings = []
    for wording in (QUESTION, *SHIPPED_WORDINGS):
        [prompts] = both_runs.clean_and_corrupt(study, top_of(study, feature), 4, "mean", wording)
        text = torch.isin(prompts.batch.roles, torch.tensor(TEXT_ROLES))
        scores = attribute_heads(study.vlm.model, prompts.both(study.vlm.model), text, *asked)
        rankings.append(scores.qk_fix[1].mean((0, 1)).flatten())
    pairs = [spearmanr(a, b).statistic for a, b in combinations(rankings, 2)]
    [row] = [
        r for r in in_words if (r["layer"], r["feature"], r["estimate"]) == (*feature, "B_fix")
    ]
    assert row["spearman"] == pytest.approx(np.mean(pairs), abs=1e-3)
    assert row["n_wordings"] == 3
    record = read_stage(run, "head_attribution")
    assert record is not None
    assert "2 paraphrases in the skills' files, 3 wanted" in record["warnings"]


def test_overlays_are_ranked_by_the_estimate_that_agrees_best(run: Path):
    stage.run_head_attribution(run)
    exact_stage.run_exact_patch(run)

    study, rows = open_study(run), read_rows(run, "exact_patch", "attribution_agreement")
    within = {r["estimate"]: r for r in rows if (r["part"], r["scope"]) == ("qk", SCOPE)}
    assert within[best_estimate(study)]["spearman"] == max(r["spearman"] for r in within.values())
    assert all(r["spearman_low"] <= r["spearman"] <= r["spearman_high"] for r in within.values())
    by_feature = [
        row
        for row in read_rows(run, "exact_patch", "feature_agreement")
        if (row["part"], row["estimate"]) == ("qk", "A_ig")
    ]
    assert within["A_ig"]["n_features"] == len(by_feature)
    for name in ("spearman", "top_overlap", "n_passes"):
        mean = np.mean([row[name] for row in by_feature])
        assert within["A_ig"][name] == pytest.approx(mean, abs=1e-6)
    passes = {name: within[name]["n_passes"] for name in ("mean", "A_ig", "B_grad_drop")}
    assert passes == {"mean": 4, "A_ig": 12, "B_grad_drop": 2 + 1 + 2}  # a feature of layer 1
    drive = drives_by(study, "mean_relp")[FEATURES[1]]
    for row in read_rows(run, "head_attribution", "head_estimate"):
        if (row["layer"], row["feature"], row["rule"]) == (*FEATURES[1], "relp"):
            drive[row["head_layer"], row["head"]] -= (
                row["qk"] * (1 if row["method"] == "B" else -1) / 2
            )
    assert drive == pytest.approx(0 * drive, abs=1e-6)


def test_the_features_of_a_sample_share_its_two_runs(run: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []
    shared = stage.run_clean_and_corrupt

    def counted(model, both, *rest):
        asked.append(len(both.embeds) // 2)
        return shared(model, both, *rest)

    monkeypatch.setattr(stage, "run_clean_and_corrupt", counted)
    stage.run_head_attribution(run)

    distinct = {row for rows in TOP.values() for row in rows}
    assert sum(asked) == len(distinct) == 6  # of nine pairs of feature and sample


def embeds_of(study: Study, prompts: both_runs.CleanAndCorrupt) -> tuple[torch.Tensor, ...]:
    """What the text model gets in the clean and in the corrupt run."""
    return prompts.clean(study.vlm.model).embeds, prompts.corrupt(study.vlm.model).embeds


def test_a_mean_picture_is_per_patch_or_one_for_all(world: Path, tmp_path: Path, replaced: None):
    found = {}
    for corruption in ("mean", "global_mean"):
        study = open_study(opened(world, tmp_path / corruption, corruption=corruption))
        [prompts] = both_runs.clean_and_corrupt(study, top_of(study, FEATURES[0]), 4, corruption)
        is_image = prompts.batch.roles == Role.IMAGE
        clean, corrupt = embeds_of(study, prompts)
        found[corruption] = corrupt[is_image].unflatten(0, (3, -1))
        assert torch.equal(corrupt[~is_image], clean[~is_image])
        mean = study.mean_image.levels[0]

    torch.testing.assert_close(found["mean"], mean.expand_as(found["mean"]))
    one = mean.mean(0).expand_as(found["global_mean"])
    torch.testing.assert_close(found["global_mean"], one)
    assert not torch.equal(found["mean"], found["global_mean"])


def test_a_resampled_picture_is_another_samples(world: Path, tmp_path: Path, replaced: None):
    study = open_study(opened(world, tmp_path, corruption="resample"))
    numbers = top_of(study, FEATURES[0])

    [prompts] = both_runs.clean_and_corrupt(study, numbers, 4, "resample")
    [alone] = both_runs.clean_and_corrupt(study, numbers[1:2], 4, "resample")

    is_image = prompts.batch.roles == Role.IMAGE
    clean, corrupt = (x[is_image].unflatten(0, (3, -1)) for x in embeds_of(study, prompts))
    for own, other in zip(clean, corrupt, strict=True):
        assert (own - other).abs().max() > 0.01
    of_alone = embeds_of(study, alone)[1][alone.batch.roles == Role.IMAGE]
    torch.testing.assert_close(of_alone, corrupt[1])  # the same other one, in whatever batch


def test_what_was_asked_is_kept_with_the_stage(world: Path, tmp_path: Path, replaced: None):
    asked = {"corruption": "resample", "positions": "strongest", "direction": "base"}
    run = opened(world, tmp_path, **asked)

    stage.run_head_attribution(run)

    record = read_stage(run, "head_attribution")
    assert record is not None
    assert (asked | {"corruption": ["resample"]}).items() <= record["params"].items()
    assert read_rows(run, "head_attribution", "head_attribution")


def test_exact_patching_takes_top_and_random_heads_and_all_of_some_features(run: Path):
    stage.run_head_attribution(run)
    exact_stage.run_exact_patch(run)

    rows = [r for r in read_rows(run, "exact_patch", "head_exact") if r["method"] == "A"]
    n_patched = {
        feature: sum((r["layer"], r["feature"]) == feature for r in rows if r["part"] == "qk")
        for feature in FEATURES
    }
    assert n_patched[FEATURES[1]] == 16  # the first of the lowest layer: every head
    assert 2 + 3 <= n_patched[FEATURES[0]] <= 6 + 3
    assert sum(r["why"] == "random" for r in rows) == 3 * 3 * 2  # features, draws, parts
    assert {r["part"] for r in rows} == {"qk", "z"}
    agreement = read_rows(run, "exact_patch", "attribution_agreement")
    assert {r["n_pairs"] for r in agreement} == {16}
    rules = ("", "_relp", "_ig", "_grad_drop")
    estimates = {way + rule for way in ("A", "B", "mean") for rule in rules}
    assert {r["estimate"] for r in agreement if r["part"] == "z"} == estimates


def test_a_causal_head_has_an_effect_beyond_chance_and_of_the_estimated_sign(run: Path):
    stage.run_head_attribution(run)
    exact_stage.run_exact_patch(run)

    rows = read_rows(run, "exact_patch", "head_exact")
    scores = {
        (r["layer"], r["feature"], r["method"], r["head_layer"], r["head"]): r
        for r in read_rows(run, "head_attribution", "head_attribution")
    }
    for r in rows:
        key = (r["layer"], r["feature"], r["method"], r["head_layer"], r["head"])
        expected = scores[key]["score" if r["part"] == "qk" else "z"]
        assert r["estimate"] == pytest.approx(expected, abs=1e-4)  # of the same samples
        same_sign = np.sign(r["effect"]) == np.sign(r["estimate"]) != 0
        assert r["is_causal"] == (same_sign and r["q_value"] <= 0.05)
        assert r["effect_low"] <= r["effect"] <= r["effect_high"]


def test_heads_are_knocked_out_on_test_statements_of_the_relation(run: Path):
    stage.run_head_attribution(run)
    knockout_stage.run_head_knockout(run)

    rows = read_rows(run, "head_knockout", "head_knockout")
    n_statements = sum(s.relation == "left of" for s in open_study(run).samples["vsr-test"])
    assert len(rows) == 2 * 3  # parts; the heads and two controls
    assert {r["n_samples"] for r in rows} == {n_statements}
    assert {(r["layer"], r["feature"]) for r in rows} == {FEATURES[0]}
    own, *controls = (r for r in rows if r["part"] == "z")
    assert own["q_value"] is not None
    assert all(c["q_value"] is None for c in controls)
    assert not any(set(c["heads"]) & set(own["heads"]) for c in controls)
    assert own["projection_after"] != own["projection_before"]
    assert len({r["accuracy_before"] for r in rows}) == 1


def test_a_finished_stage_is_found_and_another_question_is_asked_anew(
    run: Path, world: Path, tmp_path: Path
):
    assert not stage.run_head_attribution(run).was_done
    assert stage.run_head_attribution(run).was_done
    (run / "head_attribution" / "stage.json").unlink()  # killed before its record

    assert not stage.run_head_attribution(run).was_done


def test_each_stage_leaves_its_tables(run: Path):
    stage.run_head_attribution(run)
    exact_stage.run_exact_patch(run)
    knockout_stage.run_head_knockout(run)

    tables = set()
    for name in ("head_attribution", "exact_patch", "head_knockout"):
        record = read_stage(run, name)
        assert record is not None
        tables |= {entry.get("table") for entry in record["files"]} - {None}
    assert tables == {
        *("head_attribution", "head_estimate", "head_stability"),
        *("head_exact", "attribution_agreement", "feature_agreement", "head_knockout"),
    }


def test_what_too_few_samples_cannot_tell_is_left_out_with_a_warning(
    run: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(TOP, FEATURES[1], [0])
    for module in ("heads.head_knockout", "ablation.evaluation_sets"):
        name = f"feature_atlas.etl.stages.{module}.relation_of"
        monkeypatch.setattr(name, lambda *_: "of one statement")

    stage.run_head_attribution(run)
    exact_stage.run_exact_patch(run)
    knockout_stage.run_head_knockout(run)

    rows = read_rows(run, "head_attribution", "head_attribution")
    assert {(r["layer"], r["feature"]) for r in rows} == {FEATURES[0], FEATURES[2]}
    assert read_rows(run, "head_knockout", "head_knockout") == []
    warnings = [(read_stage(run, f"head_{name}") or {})["warnings"]
                for name in ("attribution", "knockout")]  # fmt: skip
    assert warnings[0] == ["L1 F5 fires on 1 questions: not attributed"]
    assert "'of one statement': 0 questions about 0 pictures" in warnings[1][0]
