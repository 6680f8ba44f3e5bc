"""Pictures with the opposite answer: which they are, and what corruption by them gives."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from stage_runs.head_study import FEATURES, opened, replace_earlier_stages
from torch import Tensor

import feature_atlas.etl.stages.heads.exact_patch as exact_stage
import feature_atlas.etl.stages.heads.head_attribution as stage
import feature_atlas.etl.stages.heads.head_knockout as knockout_stage
from feature_atlas.dictionary.sae import unit_directions
from feature_atlas.etl.inputs.pictures import open_image
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.run_folder.artifacts import read_rows, read_stage
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.heads.corrupted_samples import corrupted_samples
from feature_atlas.etl.stages.heads.head_drives import first_corruption, head_drives
from feature_atlas.etl.stages.heads.opposite_picture import Choice, Opposite, opposite
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of, split_of
from feature_atlas.etl.study import Study, open_study
from feature_atlas.vlm.head_probe import Head
from feature_atlas.vlm.residual_stream import decoder_layers
from feature_atlas.vlm.token_roles import TEXT_ROLES, encode_prompts

BOTH = ("mean", "opposite")


def asked(number: int, question: str, answer: str, relation: str | None = None) -> Sample:
    picture = Path(f"{number // 10}.jpg")
    return Sample("d", str(number), picture, question, answer, relation=relation)


def chosen(sample: Sample, *others: Sample, pairs: dict[str, list[str]] | None = None) -> object:
    """Id of the sample whose picture is shown, and how it was found; the same in any order."""
    found = {
        Choice.of(order, pairs or {}).opposite(sample, seed=3)
        for order in ([sample, *others], [*reversed(others), sample])
    }
    [one] = found
    return one and (int(one.sample.external_id), one.how)


def test_a_question_takes_its_official_complement_or_the_same_question():
    cat = asked(10, "Is there a cat?", "yes")
    paired, same = asked(20, "Any cat here?", "no"), asked(30, "is there a  CAT?", "no")

    assert chosen(cat, paired, same, pairs={"10": ["20"]}) == (20, "official pair")
    assert chosen(cat, paired, same) == (30, "same question")
    # pairs whose answers came out alike, or whose picture the run does not know
    agreeing = asked(40, "Is there a cat?", "yes")
    assert chosen(cat, agreeing, same, pairs={"10": ["40", "99"]}) == (30, "same question")


def test_neither_the_same_answer_nor_the_same_picture_nor_another_question_will_do():
    cat = asked(10, "Is there a cat?", "yes")
    others = [asked(20, "Is there a cat?", "yes"), asked(11, "Is there a cat?", "no"),
              asked(30, "Is there a dog?", "no")]  # fmt: skip

    assert chosen(cat, *others) is None


def test_a_statement_takes_the_same_one_and_then_the_things_that_are_most_alike():
    left = "left of"
    cat = asked(10, "The cat is left of the dog.", "yes", left)
    same = asked(20, "The cat is left of the dog.", "no", left)
    swapped = asked(30, "The dog is left of the cat.", "no", left)
    half = asked(40, "The cat is left of the bench.", "no", left)
    far = asked(50, "A bus is left of a car.", "no", left)
    above = asked(60, "The cat is above the dog.", "no", "above")

    assert chosen(cat, far, swapped, half, same, above) == (20, "same question")
    assert chosen(cat, far, swapped, half, above) == (40, "same relation")
    assert chosen(cat, far, above) == (50, "same relation")
    assert chosen(cat, above) is None


class Traced(NamedTuple):
    study: Study
    samples: dict[Feature, list[int]]
    """On which each feature was traced under corruption opposite."""


@pytest.fixture(scope="module")
def traced(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Traced:
    """The stages about heads under both corruptions."""
    home = tmp_path_factory.mktemp("opposite")
    with pytest.MonkeyPatch.context() as replaced:
        replace_earlier_stages(replaced)
        run = opened(world, home, corruption=BOTH, rules=("relp",))
        stage.run_head_attribution(run)
        exact_stage.run_exact_patch(run)
        knockout_stage.run_head_knockout(run)
        study = open_study(run)
        return Traced(study, {f: corrupted_samples(study, f, "opposite", 3) for f in FEATURES})


def test_the_drawn_world_has_opposites_by_construction(traced: Traced):
    study, first = traced.study, traced.study.first_number["vsr-train"]
    numbers = range(first, first + len(study.samples["vsr-train"]))
    found = [opposite(study, number) for number in numbers]

    assert sum(one is None for one in found) < len(found) / 10
    for number, one in zip(numbers, found, strict=True):
        if one is not None:
            own = sample_of(study, number)
            assert (one.sample.relation, one.sample.dataset) == (own.relation, own.dataset)
            assert {one.sample.answer, own.answer} == {"yes", "no"}


def projection(
    study: Study,
    question: str,
    picture: Path,
    feature: Feature,
    swaps: dict[Head, Tensor] | None = None,
) -> tuple[float, dict[int, Tensor]]:
    """J_f by the model's own forward, and what enters each output projection.

    ``swaps``: (layer, head) to what enters it there.
    """
    vlm, layer, number = study.vlm, *feature
    batch = encode_prompts(vlm.processor, [question], [open_image(picture)])
    layers, entered, left = decoder_layers(vlm.model), {}, {}
    width = layers[0].self_attn.head_dim

    def enter(at: int):
        def hook(_module, inputs):
            z = inputs[0].clone()
            for (swapped, head), other in (swaps or {}).items():
                if swapped == at:
                    here = slice(head * width, (head + 1) * width)
                    z[..., here] = other[..., here]
            entered[at] = z
            return (z,)

        return hook

    handles = [
        block.self_attn.o_proj.register_forward_pre_hook(enter(at))
        for at, block in enumerate(layers)
    ]
    handles.append(layers[layer].register_forward_hook(lambda _m, _i, out: left.update(y=out)))
    with torch.no_grad():
        vlm.model(batch.input_ids, attention_mask=batch.attention_mask, **batch.processed)
    for handle in handles:
        handle.remove()
    y = left["y"][0] if isinstance(left["y"], tuple) else left["y"]
    text = torch.isin(batch.roles, torch.tensor(TEXT_ROLES))
    direction = unit_directions(study.base[layer])[number]
    return float((y[text].double() @ direction.double()).sum()), entered


def test_exact_effects_are_those_of_prompts_about_the_other_picture(traced: Traced):
    """By hooks on the model's own forward, a prompt at a time, nothing of the atlas between.

    Turned round where the other answer raises the feature, so that both kinds do not cancel.
    """
    study, feature = traced.study, FEATURES[0]
    rows = [
        r
        for r in read_rows(study.run, "exact_patch", "head_exact")
        if (r["layer"], r["feature"], r["part"], r["corruption"]) == (*feature, "z", "opposite")
    ]
    pairs = []
    for number in traced.samples[feature]:
        own, other = sample_of(study, number), opposite(study, number)
        assert isinstance(other, Opposite)
        pairs.append((own.question, own.image, other.sample.image))

    assert len(rows) >= 10
    for row in rows[:4] + rows[-4:]:
        head, effects = (row["head_layer"], row["head"]), []
        for question, *pictures in pairs:
            to, donor = pictures if row["method"] == "A" else pictures[::-1]
            before, _ = projection(study, question, to, feature)
            _, entered = projection(study, question, donor, feature)
            after, _ = projection(study, question, to, feature, {head: entered[head[0]]})
            own, other = (projection(study, question, shown, feature)[0] for shown in pictures)
            effects.append((after - before) * (1 if own > other else -1))
        assert row["effect"] == pytest.approx(sum(effects) / len(effects), rel=1e-3, abs=1e-4)
        assert row["n_samples"] == len(effects) == 3


def test_every_row_says_its_corruption_and_heads_are_chosen_by_the_first(traced: Traced):
    tables = {
        "head_attribution": ("head_attribution", "head_estimate", "head_stability"),
        "exact_patch": ("head_exact", "attribution_agreement", "feature_agreement"),
        "head_knockout": ("head_knockout",),
    }
    for name, of_stage in tables.items():
        for table in of_stage:
            rows = read_rows(traced.study.run, name, table)
            n_of = [sum(r["corruption"] == one for r in rows) for one in BOTH]
            assert min(n_of) > 0
            assert sum(n_of) == len(rows)
    assert first_corruption(traced.study) == "mean"
    drives = [head_drives(traced.study, "score", one)[FEATURES[0]] for one in BOTH]
    assert abs(drives[0] - drives[1]).max() > 1e-3


def test_samples_without_such_a_picture_are_counted_and_said(traced: Traced):
    record = read_stage(traced.study.run, "head_attribution")

    assert record is not None
    assert any(
        w.startswith("corruption opposite: ") and "were passed over" in w
        for w in record["warnings"]
    )
    for numbers in traced.samples.values():
        splits = [split_of(traced.study, number) for number in numbers]
        assert splits == sorted(splits)  # questions of VQAv2 first
