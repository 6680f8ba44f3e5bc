"""The cookbook on heads and removals: answers compared with pandas on the files."""

from collections.abc import Callable

import numpy as np
from cookbook import KEY, Runs, same


def test_heads_shared_by_more_than_five_spatial_features(ask: Callable, runs: Runs):
    found = ask("Which heads are shared by many spatial features?")

    heads = runs.table("head_attribution", method="B")
    place = heads.groupby(KEY).score.rank(method="min", ascending=False)
    shared = heads[(place <= 5) & (heads.score > 0)].groupby(["head_layer", "head"]).score
    expected = shared.agg(n_spatial_features="size", mean_drive="mean").reset_index()
    expected = expected[expected.n_spatial_features > 5].sort_values(
        ["n_spatial_features", "mean_drive"], ascending=False
    )
    same(found, expected)


def test_table_1_of_the_paper_beside_the_same_features(ask: Callable):
    found = ask("What does the paper's Table 1 say beside this run, for the same features?")

    assert found.paper_delta_vsr.tolist() == [-15.54, -12.77, -11.19, -10.21, -9.05, -7.98]
    assert found.paper_relations[0] == "above"
    assert found.our_delta_vsr.isna().all()  # none of them was removed in this little run


def test_table_1_of_the_paper_place_by_place(ask: Callable, runs: Runs):
    found = ask("What does the paper's Table 1 say beside this run, place by place?")

    removed = runs.table(
        "ablation", evaluation="vsr_relation", intervention="directional", control_no=0
    )
    ours = removed.sort_values(["delta_accuracy", *KEY]).head(6)
    assert found.paper_relation[0] == "above"
    assert found[KEY].to_numpy().tolist() == ours[KEY].to_numpy().tolist()
    np.testing.assert_allclose(found.our_delta_vsr, 100 * ours.delta_accuracy, rtol=1e-6)


def test_statements_that_a_removal_broke(ask: Callable, runs: Runs):
    found = ask("Which statements did a removal break?")

    answers = runs.table("ablation_outcome", layer=0, evaluation="vsr_relation")
    broken = answers[
        ((answers.margin_before > 0) == answers.label)
        & ((answers.margin_after > 0) != answers.label)
    ]
    lost = broken.margin_before - broken.margin_after
    broken = broken.assign(lost=lost).sort_values(["feature", "lost"], ascending=[True, False])
    expected = broken.merge(runs.table("sample"), on="sample").merge(
        runs.table("image"), on="image"
    )
    expected = expected.sort_values(["feature", "lost"], ascending=[True, False])
    assert found.question.tolist() == expected.question.tolist()
    assert found.image_uri.tolist() == expected.uri.tolist()
    assert (found.right_answer == found.answer_before).all()
    assert (found.right_answer != found.answer_after).all()


def test_methods_that_name_the_same_heads(ask: Callable, runs: Runs):
    found = ask("Do methods A and B name the same heads?")

    heads = runs.table("head_attribution")
    heads["drive"] = heads.score.where(heads.method == "B", -heads.score)
    groups = heads.groupby([*KEY, "method"])
    heads["is_first"] = groups.drive.rank(method="min", ascending=False) <= 5
    both = heads[heads.method == "A"].merge(
        heads[heads.method == "B"], on=[*KEY, "head_layer", "head"]
    )
    shared = (both.is_first_x & both.is_first_y).groupby([both.layer, both.feature]).sum()
    assert found.set_index(KEY).n_shared.sort_index().tolist() == shared.tolist()
