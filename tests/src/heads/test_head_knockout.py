"""Heads knocked out together, on a small untrained VLM."""

import numpy as np
import pytest
import torch

from feature_atlas.ablation.yes_no import yes_no_ids, yes_no_margin
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Encoder
from feature_atlas.heads.exact_patch import exact_patch, patched_heads
from feature_atlas.heads.head_knockout import (
    Question,
    image_mass,
    matched_heads,
    read_out,
    read_out_without,
)
from feature_atlas.heads.objective_positions import role_positions
from feature_atlas.vlm.decoder_inputs import decoder_inputs
from feature_atlas.vlm.head_probe import record_heads
from feature_atlas.vlm.image_features import image_features
from feature_atlas.vlm.residual_stream import logits
from feature_atlas.vlm.token_roles import Role, encode_prompts

LAYER = 2
QUESTIONS = ["Is the red circle above the blue square?", "Is the square red?"]


class Case:
    """Two prompts, clean and with the other one's picture, and a made-up feature."""

    def __init__(self, llava, processor, pictures) -> None:
        self.model = llava
        batch = encode_prompts(processor, QUESTIONS, pictures[:2])
        with torch.no_grad():
            own = image_features(llava, batch)
            flipped = own.levels[0].unflatten(0, (2, -1)).flip(0).flatten(0, 1)
            self.clean = decoder_inputs(llava, batch)
            self.corrupt = decoder_inputs(llava, batch, own.replaced([flipped]))
        self.text = role_positions(batch.roles, "text")
        self.image = batch.roles == Role.IMAGE
        generator = torch.Generator().manual_seed(3)
        direction = torch.randn(self.clean.embeds.shape[-1], generator=generator)
        weight = torch.randn(self.clean.embeds.shape[-1], 6, generator=generator)
        self.question = Question(
            LAYER, 4, direction / direction.norm(), Encoder(weight, torch.zeros(6), TopK(2), None),
            yes_no_ids(processor.tokenizer),
        )  # fmt: skip


@pytest.fixture(scope="module")
def case(llava, processor, pictures) -> Case:
    return Case(llava, processor, pictures)


def test_nothing_knocked_out_changes_nothing(case: Case) -> None:
    plain = read_out(case.model, case.clean, case.text, case.question)
    same = record_heads(case.model, case.clean, [LAYER])
    every = [(layer, head) for layer in range(LAYER + 1) for head in range(8)]

    from_itself = read_out_without(
        case.model, case.clean, same, case.text, case.question,
        heads=every, parts=["q", "k"],
    )  # fmt: skip

    for before, after in zip(plain, from_itself, strict=True):
        torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        expected = yes_no_margin(logits(case.model, case.clean), case.question.answers)
    torch.testing.assert_close(plain.margin, expected)


def test_the_projection_moves_as_the_exact_patch_says(case: Case) -> None:
    heads, parts = [(0, 1), (2, 5)], ["z"]
    donor = record_heads(case.model, case.corrupt, [LAYER])

    before = read_out(case.model, case.clean, case.text, case.question)
    after = read_out_without(
        case.model, case.clean, donor, case.text, case.question,
        heads=heads, parts=parts,
    )  # fmt: skip

    expected = exact_patch(
        case.model, case.clean, case.corrupt, case.text, LAYER,
        case.question.direction[None], heads=heads, parts=parts,
    )[0] / case.text.sum(1)  # fmt: skip
    assert expected.abs().min() > 1e-4
    torch.testing.assert_close(after.projection - before.projection, expected, atol=1e-4, rtol=1e-3)
    assert (after.margin != before.margin).all()


def test_the_activation_is_the_features_mean_over_text_tokens(case: Case) -> None:
    found = read_out(case.model, case.clean, case.text, case.question)

    residual = record_heads(case.model, case.clean, [LAYER]).residual.detach()
    gates = residual @ case.question.encoder.weight
    kept = torch.where(gates >= gates.topk(2).values[..., 1:], gates.clamp_min(0), 0)[..., 4]
    expected = (kept * case.text).sum(1) / case.text.sum(1)
    assert expected.max() > 0
    torch.testing.assert_close(found.activation, expected, atol=1e-4, rtol=1e-4)


def test_image_mass_is_the_attention_from_text_to_the_picture(case: Case) -> None:
    mass = image_mass(case.model, case.clean, case.text, case.image, LAYER)

    donor = record_heads(case.model, case.clean, [LAYER])
    logit = donor.q[1][:, 3] @ donor.k[1][:, 3].transpose(-1, -2) / donor.q[1].shape[-1] ** 0.5
    pattern = (logit + donor.bias[1][:, 0]).softmax(-1)
    on_image = (pattern * case.image[:, None]).sum(-1)
    expected = ((on_image * case.text).sum(1) / case.text.sum(1)).mean()
    torch.testing.assert_close(mass[1, 3], expected)
    assert mass.shape == (LAYER + 1, 8)


def test_controls_look_at_the_picture_as_much_and_are_no_top_heads() -> None:
    mass = np.array([[0.9, 0.1, 0.88, 0.12, 0.5, 0.86], [0.84, 0.14, 0.0, 0.92, 0.16, 0.18]])
    top = [(0, 0), (0, 1)]

    sets = matched_heads(top, mass, n_sets=3, seed=1)

    assert len(sets) == 3
    for heads in sets:
        assert len(set(heads)) == 2
        assert not set(heads) & set(top)
        assert abs(mass[heads[0]] - 0.9) < 0.5
        assert abs(mass[heads[1]] - 0.1) < 0.2
    assert sets == matched_heads(top, mass, n_sets=3, seed=1)


def test_more_top_heads_than_others_are_refused() -> None:
    with pytest.raises(ValueError, match=r"2 heads of 3 leave 1 .*head_knockout.n_heads"):
        matched_heads([(0, 0), (0, 1)], np.zeros((1, 3)), n_sets=1, seed=0)


def test_a_head_above_the_donor_run_is_refused(case: Case) -> None:
    donor = record_heads(case.model, case.corrupt, [0])

    with (
        pytest.raises(ValueError, match="no head L1H0 here: layers 0 to 0"),
        patched_heads(case.model, donor, [(1, 0)], ["q"]),
    ):
        pass
