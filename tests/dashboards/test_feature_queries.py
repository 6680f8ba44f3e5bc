"""What is asked of one feature, against the same numbers computed with pandas."""

import pytest

from feature_atlas.dashboards import queries


@pytest.fixture
def run_id(full_atlas: str) -> int:
    return int(queries.runs().run_id[0])


def test_examples_come_with_pictures_and_marked_tokens(run_id: int) -> None:
    found = queries.examples(run_id, 0, 0, "strongest", None, 4)

    assert found.source.tolist() == ["vqav2", "vsr", "vqav2", "vsr"]
    assert found.max_activation.tolist() == [9, 9, 8, 8]
    first = found.iloc[0]
    assert first.question == "Is the circle left of the square?"
    assert first.tokens[3] == 'left"of'
    assert first.activations[3] == 9
    assert bytes(first.thumbnail).startswith(b"\x89PNG")


def test_words_are_counted_over_all_stored_examples(run_id: int, written) -> None:
    stored = written("example", layer=0, feature=0)
    tokens = stored.explode(["tokens", "activations"], ignore_index=True)
    fired = tokens[tokens.activations.astype(float) > 0].astype({"activations": float})
    expected = fired.groupby("tokens").activations.agg(["size", "mean", "max"])

    words = queries.example_words(run_id, 0, 0).set_index("word")

    assert set(words.index) == {"circle", 'left"of', "{é}"}
    assert words.n_examples.to_dict() == expected["size"].to_dict()
    assert words.mean_activation.to_dict() == pytest.approx(expected["mean"].to_dict())
    assert words.max_activation.to_dict() == expected["max"].to_dict()
    assert words.index[0] == 'left"of'  # in as many examples as the others, but stronger


def test_answers_are_counted_over_all_stored_examples(run_id: int, written) -> None:
    stored = written("example", layer=0, feature=0)
    answer = stored["sample"].map(written("sample").answer)
    expected = stored.groupby(answer).max_activation.agg(["size", "max"])

    found = queries.example_answers(run_id, 0, 0).set_index("answer")

    assert found.n_examples.to_dict() == expected["size"].to_dict()
    assert found.max_activation.to_dict() == expected["max"].to_dict()
    assert found.n_examples.is_monotonic_decreasing


def test_heads_come_with_both_methods(run_id: int) -> None:
    heads = queries.head_attributions(run_id, 1, 0, "mean")

    assert len(heads) == 2 * 2 * 4  # methods, layers up to its own, heads
    assert heads[heads.method == "A"].score.tolist() == [-4, -3, -2, -1] * 2
    assert heads[heads.method == "B"].score.tolist() == [4, 3, 2, 1] * 2
    assert {*heads.evidence} <= {"causal", "not confirmed", "screened"}


def test_heads_in_short_are_means_of_both_methods(run_id: int, written) -> None:
    heads = queries.heads_in_short(run_id, 1, 0)

    scores = written("head_attribution", layer=1, feature=0)
    scores["drive"] = scores.score * scores.method.map({"A": -1, "B": 1})
    expected = scores.groupby(["head_layer", "head"]).drive.mean()
    found = heads.set_index(["head_layer", "head"]).mean_drive
    assert found.to_dict() == pytest.approx(expected.to_dict())
    assert heads.mean_drive.is_monotonic_decreasing


def test_exact_effects_are_turned_so_that_above_0_drives(run_id: int, written) -> None:
    found = queries.exact_effects(run_id, 1, 0, "mean")

    swapped = written("head_exact", layer=1, feature=0)
    sign = swapped.method.map({"A": -1, "B": 1})
    assert sorted(found.drive) == pytest.approx(sorted(sign * swapped.effect))
    assert (found.low <= found.drive).all()
    assert (found.drive <= found.high).all()


def test_a_feature_is_found_in_the_groups_that_it_was_removed_with(run_id: int, written) -> None:
    groups = queries.groups_of(run_id, 1, 2)

    assert set(zip(groups.kind, groups.name, groups.place, strict=True)) == {("layer", "1", 3)}
    own = written("ablation_group", name="1", control_no=0).sort_values("n_features")
    assert groups.n_features.tolist() == own.n_features.tolist() == [1, 2, 4]
    assert groups.delta_accuracy.tolist() == pytest.approx(own.delta_accuracy)
    assert queries.groups_of(run_id, 1, 32).empty  # removed as a control only


def test_interventions_and_strengths_are_those_of_the_feature_alone(run_id: int, written) -> None:
    own = written("ablation", layer=0, feature=0, control_no=0)
    found = queries.interventions(run_id, 0, 0)
    assert sorted(found.intervention + found.evaluation) == sorted(
        own.intervention + own.evaluation
    )

    steered = queries.steerings(run_id, 0, 0)
    assert steered.alpha.tolist() == [-1, 1, 2]
    assert steered.yes_margin_delta.tolist() == [-0.5, 0.5, 1]
    assert queries.steerings(run_id, 0, 1).empty


def test_bins_have_the_edges_of_their_numbers(run_id: int, written) -> None:
    bins = queries.activation_bins(run_id, 0, 3)

    image = bins[bins.role == "image"]
    stored = written("activation_histogram", layer=0, feature=3, role="image").iloc[0]
    assert image.n_tokens.tolist() == list(stored.n_tokens)
    assert image.bin.tolist() == [8, 9, 10, 11]
    # bin 8 begins at 2^(8/2 - 6), bin 9 at 1.5 times that, bin 10 at twice
    assert image.low.tolist() == [0.25, 0.375, 0.5, 0.75]
    assert image.high.tolist() == [0.375, 0.5, 0.75, 1.0]


def test_logits_come_by_side_with_their_tokens(run_id: int, written) -> None:
    effects = queries.logit_effects(run_id, 1, 5)

    stored = written("logit_effect", layer=1, feature=5).iloc[0]
    for side in ("top", "bottom"):
        rows = effects[effects.side == side]
        assert rows.token.tolist() == list(stored[f"{side}_tokens"])
        assert rows.token_id.tolist() == list(stored[f"{side}_token_ids"])
        assert rows.effect.tolist() == pytest.approx(stored[f"{side}_effects"])
    assert effects.side[0] == "top"


def test_near_features_come_with_their_labels_and_turns(run_id: int, written) -> None:
    near = queries.near_features(run_id, 1, 1)

    stored = written("nearest_feature", layer=1, feature=1).iloc[0]
    assert near.feature.tolist() == list(stored.features)
    assert near.cosine.tolist() == pytest.approx(stored.cosines)
    turns = written("decoder_cosine", regime="text", layer=1).set_index("feature").cosine
    assert near.own_cosine.tolist() == pytest.approx(turns[near.feature].tolist())
    # features 0 to 3 survive and are described
    assert near.label.notna().tolist() == [feature < 4 for feature in near.feature]


def test_the_same_feature_is_looked_for_in_runs_of_the_same_base(run_id: int) -> None:
    found = queries.same_feature(run_id, 1, 2)

    assert found.run_id.tolist() == [run_id]
    assert found.label.tolist() == ["asks for left of"]


def test_a_firing_feature_is_the_next_one_and_begins_again_at_the_end(run_id, written) -> None:
    energies = written("visual_energy", layer=1)
    firing = energies.feature[energies.firing_rate > 0]

    assert queries.firing_feature_from(run_id, 1, 10).feature[0] == firing[firing >= 10].min()
    assert queries.firing_feature_from(run_id, 1, 64).feature[0] == firing.min()


def test_nothing_is_an_empty_frame_with_its_columns(run_id: int) -> None:
    for query in (queries.heads_in_short, queries.groups_of, queries.base_labels):
        found = query(run_id, 0, 63)
        assert found.empty
        assert len(found.columns) > 3
