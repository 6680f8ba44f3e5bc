"""The stages that remove and add features, on a small study: against plain hooked passes."""

import numpy as np
import pytest
import torch
from stage_runs.plain_margins import plain_margins
from stage_runs.removal_study import CANDIDATES, MEAN_ACTIVATION, RELATION, SURVIVORS

import feature_atlas.etl.stages.ablation.ablation as stage
import feature_atlas.etl.stages.ablation.group_ablation as group_stage
from feature_atlas.ablation.control import control_p_value
from feature_atlas.ablation.intervention import Edit, addition, directional, span_removal
from feature_atlas.ablation.yes_no import yes_no_ids, yes_no_margin
from feature_atlas.dictionary.sae import unit_directions
from feature_atlas.etl.run_folder.artifacts import read_rows
from feature_atlas.etl.stages.ablation.ablation_screening import Cost
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.vlm.embedded_prompts import embedded_prompts
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.study import Study
from feature_atlas.statistics.uncertainty import benjamini_hochberg
from feature_atlas.vlm.residual_stream import logits
from feature_atlas.vlm.token_roles import Role


def removal_of(study: Study, feature: Feature) -> dict[int, Edit]:
    direction = unit_directions(study.base[feature.layer])[feature.feature]
    return {feature.layer: directional(direction)}


def test_every_answer_is_that_of_a_plain_hooked_pass(study: Study) -> None:
    rows = read_rows(study.run, "ablation", "ablation_outcome")
    mine = [r for r in rows if r["intervention"] == "directional"]
    assert {r["evaluation"] for r in mine} == {
        "vsr_relation", "vsr_other", "vsr_paper", "vqa_yes_no", "whatsup", "gqa"
    }  # fmt: skip
    for feature in SURVIVORS[:2]:
        of_feature = [r for r in mine if (r["layer"], r["feature"]) == feature]
        numbers = [r["sample"] for r in of_feature]

        before = plain_margins(study, numbers, {})
        after = plain_margins(study, numbers, removal_of(study, feature))

        found = torch.tensor([[r["margin_before"], r["margin_after"]] for r in of_feature])
        torch.testing.assert_close(found, torch.stack([before, after], 1), atol=1e-3, rtol=1e-3)
        truth = [sample_of(study, number).answer == "yes" for number in numbers]
        assert [r["label"] for r in of_feature] == truth


def test_choosing_and_scoring_use_other_statements_but_for_the_papers_way(study: Study) -> None:
    rows = read_rows(study.run, "ablation", "ablation_outcome")
    first, n = study.first_number["vsr-test"], len(study.samples["vsr-test"])
    held_out = range(first, first + n)

    def numbers(evaluation: str) -> set[int]:
        return {r["sample"] for r in rows if r["evaluation"] == evaluation}

    relation = {number: sample_of(study, number).relation for number in held_out}
    assert numbers("vsr_relation") == {i for i in held_out if relation[i] == RELATION}
    assert numbers("vsr_other") <= {i for i in held_out if relation[i] != RELATION}
    assert len(numbers("vsr_other")) == 12
    trained = numbers("vsr_paper") - set(held_out)
    assert trained
    assert numbers("vsr_relation") < numbers("vsr_paper")
    assert {sample_of(study, i).relation for i in trained} == {RELATION}


def test_other_benches_are_asked_of_every_relation_as_many_as_configured(study: Study) -> None:
    rows = read_rows(study.run, "ablation", "ablation")
    asked = {
        (r["evaluation"], r["n_samples"], r["relation"])
        for r in rows
        if r["evaluation"] in ("whatsup", "gqa")
    }
    outcomes = read_rows(study.run, "ablation", "ablation_outcome")
    of_gqa = {r["sample"] for r in outcomes if r["evaluation"] == "gqa"}

    assert asked == {("whatsup", 9, None), ("gqa", 3, None)}  # of 16 and of 3
    assert [sample_of(study, number).external_id for number in sorted(of_gqa)] == [
        "001", "002", "006"
    ]  # fmt: skip


def test_a_survivor_of_a_low_odds_ratio_is_removed_if_it_costs_most(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "survivors_of", lambda *_: list(SURVIVORS))
    first, second, third = SURVIVORS
    costs = {
        second: Cost(0.4, 1.0),
        CANDIDATES[3]: Cost(0.2, 2.0),
        third: Cost(0.3, 2.0),
        CANDIDATES[4]: Cost(0.0, 3.0),
    }

    assert stage._targets(study, costs) == [first, second, third]


def test_each_feature_has_its_controls_of_every_kind(study: Study) -> None:
    rows = read_rows(study.run, "ablation", "ablation")
    targets = {(r["layer"], r["feature"]) for r in rows if r["control_no"] == 0}
    assert set(SURVIVORS[:2]) <= targets

    for target in targets:
        mine = [r for r in rows if (r["layer"], r["feature"]) == target and r["control_no"]]
        kinds = [r["control_kind"] for r in sorted(mine, key=lambda r: r["control_no"])]
        assert kinds == ["matched"] * 3 + ["random"] * 2 + ["direction"] * 2
        taken = {(r["layer"], r["control_feature"]) for r in mine} - {(target[0], None)}
        assert not taken & targets
        assert len({round(r["removed_norm"], 7) for r in mine}) > 4  # different things were removed


def test_the_place_among_controls_and_q_values_are_worked_out_per_family(study: Study) -> None:
    rows = read_rows(study.run, "ablation", "ablation")
    features = [
        r for r in rows
        if r["evaluation"] == "vsr_relation"
        and r["control_no"] == 0
        and r["intervention"] == "directional"
    ]  # fmt: skip

    expected = benjamini_hochberg([r["mcnemar_p"] for r in features])
    assert [r["q_value"] for r in features] == pytest.approx(expected.tolist())
    for row in features:
        controls = [
            r["delta_accuracy"] for r in rows
            if r["control_kind"] == "matched"
            and (r["layer"], r["feature"]) == (row["layer"], row["feature"])
        ]  # fmt: skip
        assert row["control_p"] == control_p_value(row["delta_accuracy"], np.array(controls))
        other = next(
            r for r in rows
            if r["evaluation"] == "vsr_other"
            and (r["layer"], r["feature"]) == (row["layer"], row["feature"])
        )  # fmt: skip
        difference = row["delta_accuracy"] - other["delta_accuracy"]
        assert row["interaction"] == pytest.approx(difference)
        assert row["interaction_low"] <= difference <= row["interaction_high"]
        assert row["detectable_delta"] is None or 0 < row["detectable_delta"] <= 1


def test_without_pictures_the_answers_are_kept_beside(study: Study) -> None:
    rows = read_rows(study.run, "ablation", "ablation_outcome")
    shown = [r for r in rows if r["evaluation"] != "vsr_paper"]
    assert all(r["margin_mean_image"] is None for r in rows if r not in shown)
    some = {r["sample"]: r for r in shown if r["evaluation"] == "vqa_yes_no"}

    model = study.vlm.model
    answers, found = yes_no_ids(study.vlm.processor.tokenizer), []
    with torch.no_grad():
        for batch in embedded_prompts(study, list(some)):
            embeds = batch.inputs.embeds.clone()
            for i in range(len(embeds)):
                embeds[i, batch.batch.roles[i] == Role.IMAGE] = study.mean_image.levels[0]
            found += yes_no_margin(
                logits(model, batch.inputs._replace(embeds=embeds)), answers
            ).tolist()

    assert [r["margin_mean_image"] for r in some.values()] == pytest.approx(found, abs=1e-3)
    assert all(r["margin_no_image"] != r["margin_before"] for r in some.values())


def test_other_interventions_are_made_for_the_costliest_feature_alone(study: Study) -> None:
    rows = read_rows(study.run, "ablation", "ablation")
    others = [r for r in rows if r["intervention"] != "directional"]

    assert len({(r["layer"], r["feature"]) for r in others}) == 1
    assert {(r["intervention"], r["evaluation"]) for r in others} == {
        (intervention, evaluation)
        for intervention in ("mean_projection", "feature_subtraction", "base_direction")
        for evaluation in ("vsr_relation", "vqa_yes_no")
    }
    costliest = (others[0]["layer"], others[0]["feature"], "vsr_relation", 0)
    by_name = {
        r["intervention"]: r for r in rows
        if (r["layer"], r["feature"], r["evaluation"], r["control_no"]) == costliest
    }  # fmt: skip
    # here the adapted dictionary is the base dictionary
    for name in ("margin_delta", "removed_norm", "delta_accuracy"):
        assert by_name["base_direction"][name] == by_name["directional"][name]
    assert len({r["removed_norm"] for r in by_name.values()}) == 3


def test_a_group_is_removed_with_its_span_in_every_layer(study: Study) -> None:
    rows = read_rows(study.run, "group_ablation", "ablation_group")
    members = read_rows(study.run, "group_ablation", "ablation_group_member")
    of_group = [m for m in members if (m["kind"], m["control_no"]) == ("relation", 0)]
    assert {(m["layer"], m["feature"]) for m in of_group} == set(SURVIVORS)
    whole = next(
        r for r in rows
        if (r["kind"], r["evaluation"], r["n_features"], r["control_no"])
        == ("relation", "vsr_relation", 3, 0)
    )  # fmt: skip

    directions = {layer: unit_directions(study.base[layer]) for layer in (1, 3)}
    edits = {1: span_removal(directions[1][[5]]), 3: span_removal(directions[3][[11, 40]])}
    first = study.first_number["vsr-test"]
    numbers = [
        first + i for i, s in enumerate(study.samples["vsr-test"]) if s.relation == RELATION
    ][:8]
    before, after = plain_margins(study, numbers, {}), plain_margins(study, numbers, edits)
    truth = torch.tensor([1 if sample_of(study, n).answer == "yes" else -1 for n in numbers])
    assert whole["margin_delta"] == pytest.approx(
        float((truth * (after - before)).mean()), abs=1e-3
    )
    assert sorted({r["n_features"] for r in rows if r["kind"] == "relation"}) == [1, 2, 3]
    assert {r["evaluation"] for r in rows if r["kind"] == "layer"} == {"vsr_all", "vqa_yes_no"}


def test_a_matched_set_has_no_survivor_and_nothing_twice(study: Study) -> None:
    members = read_rows(study.run, "group_ablation", "ablation_group_member")
    controls = [
        (m["kind"], m["name"], m["layer"], m["feature"]) for m in members if m["control_no"] == 1
    ]

    assert len(controls) == len(set(controls)) == 3 + 3  # by relation, and by layer
    assert not {tuple(key[2:]) for key in controls} & set(SURVIVORS)
    of_relation = [m for m in members if m["kind"] == "relation"]
    layers = {(m["control_no"], m["place"]): m["layer"] for m in of_relation}
    assert all(layers[0, place] == layers[1, place] for place in (1, 2, 3))


@pytest.mark.parametrize(
    ("n", "doses"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])]
)
def test_doses_double_up_to_all(n: int, doses: list[int]) -> None:
    group = group_stage.Group("layer", "0", [[Feature(0, f) for f in range(n)]])

    assert group.doses == doses


def test_steering_adds_what_the_feature_writes_and_by_zero_nothing(study: Study) -> None:
    nothing, twice = read_rows(study.run, "steering", "steering")
    feature = Feature(twice["layer"], twice["feature"])

    assert (nothing["alpha"], nothing["length"], nothing["removed_norm"]) == (0, 0, 0)
    assert nothing["yes_margin_delta"] == nothing["delta_accuracy"] == 0
    assert nothing["mirror_correlation"] is None
    sae = study.base[feature.layer]
    length = 2 * MEAN_ACTIVATION / sae.scale
    assert twice["length"] == pytest.approx(length)
    first = study.first_number["vsr-test"]
    numbers = [
        first + i for i, s in enumerate(study.samples["vsr-test"]) if s.relation == RELATION
    ][:8]
    before = plain_margins(study, numbers, {})
    edit = addition(unit_directions(sae)[feature.feature], length)
    moved = plain_margins(study, numbers, {feature.layer: edit}) - before
    removed = plain_margins(study, numbers, removal_of(study, feature)) - before
    assert twice["yes_margin_delta"] == pytest.approx(float(moved.mean()), abs=1e-3)
    assert twice["yes_margin_delta_removed"] == pytest.approx(float(removed.mean()), abs=1e-3)
    expected = np.corrcoef(moved.numpy(), removed.numpy())[0, 1]
    assert twice["mirror_correlation"] == pytest.approx(expected, abs=0.01)
