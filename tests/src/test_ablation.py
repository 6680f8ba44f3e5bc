"""Ablation: the projection, the answer, the shared computation, the controls and the statistics."""

import math

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from feature_atlas.ablation import (
    AnswerIds,
    ablate_direction,
    ablated_margins,
    ablation_effect,
    ablation_effects,
    ablation_of,
    matched_controls,
    mean_projection,
    yes_no_ids,
    yes_no_margin,
)
from feature_atlas.vlm import edit_residual, freeze, logits, text_model

D_MODEL, N_LAYERS = 32, 4
ANSWERS = AnswerIds(yes=[3, 4], no=[5])


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20, hidden_size=D_MODEL, intermediate_size=48, num_hidden_layers=N_LAYERS,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.3,
    )  # fmt: skip
    return freeze(LlamaForCausalLM(config))


def samples(n: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Prompts of 2 template, 4 image and 3 to 5 text tokens, padded to 11."""
    embeds = torch.randn(n, 11, D_MODEL, generator=torch.Generator().manual_seed(1))
    lengths = 9 + torch.arange(n) % 3
    token = torch.arange(11).expand(n, 11)
    mask = (token < lengths[:, None]).long()
    return embeds, mask, (token >= 6) & mask.bool()


def unit_rows(n: int) -> Tensor:
    rows = torch.randn(n, D_MODEL, generator=torch.Generator().manual_seed(2))
    return rows / rows.norm(dim=-1, keepdim=True)


def test_the_component_along_the_direction_is_removed_at_text_positions() -> None:
    hidden = torch.tensor([[[3.0, 4.0], [3.0, 4.0]]])
    is_text = torch.tensor([[False, True]])

    ablated = ablate_direction(hidden, torch.tensor([0.6, 0.8]), is_text)

    assert ablated[0, 0].tolist() == [3.0, 4.0]
    assert ablated[0, 1].norm() < 1e-6  # (3, 4) is 5 v
    assert hidden[0, 1].tolist() == [3.0, 4.0]  # a new tensor; the old one is untouched


def test_nothing_is_left_of_the_direction_and_images_are_bit_identical() -> None:
    hidden, _, is_text = samples()
    direction = unit_rows(1)[0]

    ablated = ablate_direction(hidden, direction, is_text)

    left = (ablated @ direction).abs() / hidden.norm(dim=-1)
    assert left[is_text].max() < 1e-6
    assert torch.equal(ablated[~is_text], hidden[~is_text])


def test_a_zero_direction_changes_no_logit_and_a_long_one_is_refused(
    model: LlamaForCausalLM,
) -> None:
    embeds, mask, is_text = samples()
    zero = torch.zeros(D_MODEL)

    with edit_residual(model, 1, ablation_of(zero, is_text)):
        edited = logits(model, embeds, mask)

    assert torch.equal(edited, logits(model, embeds, mask))
    with pytest.raises(ValueError, match="direction of length 2, expected 1"):
        ablate_direction(embeds, 2 * unit_rows(1)[0], is_text)


def test_mean_projection_by_hand() -> None:
    residual = torch.tensor([[1.0, 2.0], [-3.0, 0.0]])

    assert mean_projection(residual, torch.eye(2)).tolist() == [2.0, 1.0]


@pytest.mark.parametrize("layer", range(N_LAYERS))
def test_sharing_the_clean_run_equals_one_hooked_pass_each(
    model: LlamaForCausalLM, layer: int
) -> None:
    embeds, mask, is_text = samples()
    directions = unit_rows(3)

    shared = ablated_margins(model, embeds, mask, is_text, layer, directions, ANSWERS, batch=2)

    plain = yes_no_margin(logits(model, embeds, mask), ANSWERS)
    torch.testing.assert_close(shared.before, plain, atol=1e-5, rtol=1e-5)
    for direction, after in zip(directions, shared.after, strict=True):
        with edit_residual(model, layer, ablation_of(direction, is_text)):
            hooked = yes_no_margin(logits(model, embeds, mask), ANSWERS)
        torch.testing.assert_close(after, hooked, atol=1e-5, rtol=1e-5)
    assert (shared.after - shared.before).abs().mean() > 0.01


def test_text_at_the_very_beginning_leaves_nothing_to_share(model: LlamaForCausalLM) -> None:
    embeds, mask, _ = samples()
    is_text = mask.bool()

    shared = ablated_margins(model, embeds, mask, is_text, 1, unit_rows(1), ANSWERS)

    with edit_residual(model, 1, ablation_of(unit_rows(1)[0], is_text)):
        hooked = yes_no_margin(logits(model, embeds, mask), ANSWERS)
    torch.testing.assert_close(shared.after[0], hooked, atol=1e-5, rtol=1e-5)


def test_removed_norm_is_the_mean_over_text_tokens(model: LlamaForCausalLM) -> None:
    embeds, mask, is_text = samples()
    direction = unit_rows(1)

    shared = ablated_margins(model, embeds, mask, is_text, 2, direction, ANSWERS, batch=2)

    seen = []
    with edit_residual(model, 2, lambda hidden: seen.append(hidden) or hidden):
        logits(model, embeds, mask)
    y = seen[0][is_text]
    expected = ((y @ direction[0]).abs() / y.norm(dim=-1)).mean()
    torch.testing.assert_close(shared.removed_norm[0], expected)


def test_the_model_is_left_as_it_was(model: LlamaForCausalLM) -> None:
    embeds, mask, is_text = samples()
    before = logits(model, embeds, mask)

    ablated_margins(model, embeds, mask, is_text, 1, unit_rows(1), ANSWERS)

    assert torch.equal(logits(model, embeds, mask), before)
    assert len(text_model(model).layers) == text_model(model).config.num_hidden_layers == N_LAYERS


def test_a_model_that_cannot_be_restarted_is_found_out() -> None:
    """Like Gemma, which scales whatever comes in as embeddings."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20, hidden_size=D_MODEL, intermediate_size=8, num_hidden_layers=2,
        num_attention_heads=2, initializer_range=0.3,
    )  # fmt: skip
    scaling = freeze(LlamaForCausalLM(config))
    scaling.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: (
            (),
            kwargs | {"inputs_embeds": 9 * kwargs["inputs_embeds"]},
        ),
        with_kwargs=True,
    )

    with pytest.raises(ValueError, match=r"Use vlm.edit_residual with ablation.ablation_of"):
        ablated_margins(scaling, *samples(), 0, unit_rows(1), ANSWERS)


def word_tokenizer(words: str, *, lowercase: bool) -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(["<unk>", *words.split()])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    if lowercase:
        backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = (
        pre_tokenizers.Metaspace() if not lowercase else pre_tokenizers.Whitespace()
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def test_every_surface_form_the_tokenizer_knows_is_counted() -> None:
    one_form = word_tokenizer("yes no", lowercase=True)
    many_forms = word_tokenizer("▁yes ▁Yes ▁YES ▁no ▁No", lowercase=False)

    assert yes_no_ids(one_form) == ([1], [2])
    assert yes_no_ids(many_forms) == ([1, 2, 3], [4, 5])
    with pytest.raises(ValueError, match=r"'true' -> \[\]"):
        yes_no_ids(one_form, "true", "no")


def test_the_margin_sums_the_probability_of_all_forms() -> None:
    probabilities = torch.tensor([[0.1, 0.2, 0.4, 0.3]])

    margin = yes_no_margin(probabilities.log(), AnswerIds(yes=[1, 2], no=[3]))

    assert margin.item() == pytest.approx(math.log(0.6 / 0.3))


def test_controls_fire_as_often_and_project_as_much() -> None:
    rate = np.array([0.10, 0.11, 0.12, 0.10, 0.20, 0.10, 0.0])
    projection = np.array([1.0, 1.1, 0.9, 3.0, 1.0, 0.81, 1.0])

    controls = matched_controls(rate, projection, 0, n=3, seed=1)

    assert sorted(controls.features) == [1, 2, 5]
    assert (controls.tolerance, controls.is_widened) == (0.25, False)
    assert controls == matched_controls(rate, projection, 0, n=3, seed=1)


def test_too_few_matches_widen_the_tolerance_and_say_so() -> None:
    rate = np.array([0.10, 0.11, 0.19, 0.9, 0.0])
    projection = np.ones(5)

    controls = matched_controls(rate, projection, 0, n=2)

    assert sorted(controls.features) == [1, 2]  # 0.19 / 0.10 is within 1 + 4 * 0.25
    assert (controls.tolerance, controls.is_widened) == (1.0, True)
    everyone = matched_controls(rate, projection, 0, n=10, exclude=[1])
    assert sorted(everyone.features) == [2, 3]  # neither itself, the excluded nor the silent one
    assert len(matched_controls(rate, projection, 0, n=2, tolerance=math.inf).features) == 2


def test_controls_of_a_silent_feature_are_refused() -> None:
    with pytest.raises(ValueError, match="feature 1 never fires"):
        matched_controls(np.array([0.1, 0.0]), np.ones(2), 1)


def test_the_effect_of_four_answers_by_hand() -> None:
    label = np.array([True, True, False, False])
    before = np.array([2.0, 2.0, -2.0, 2.0])  # right, right, right, wrong
    after = np.array([2.0, -2.0, -2.0, 2.0])  # the second answer is spoiled

    effect = ablation_effect(label, before, after, np.array([1, 2, 3, 4]))

    assert effect.n_samples == 4
    assert (effect.accuracy_before, effect.accuracy_after) == (0.75, 0.5)
    assert effect.delta_accuracy == -0.25
    assert (effect.right_to_wrong, effect.wrong_to_right) == (1, 0)
    assert effect.mcnemar_p == 1.0
    assert effect.margin_delta == -1.0  # -4 on one of four
    p = 1 / (1 + math.exp(-2))
    assert effect.probability_delta == pytest.approx((1 - p - p) / 4)
    assert (effect.yes_rate_before, effect.yes_rate_after) == (0.75, 0.5)
    assert (effect.balanced_accuracy_before, effect.balanced_accuracy_after) == (0.75, 0.5)
    assert effect.delta_low <= -0.25 <= effect.delta_high <= 0


def test_an_answer_that_turns_to_always_yes_keeps_balanced_accuracy_at_a_half() -> None:
    label = np.array([True] * 7 + [False] * 3)
    before, after = np.where(label, 1.0, -1.0), np.ones(10)

    effect = ablation_effect(label, before, after, np.arange(10))

    assert (effect.accuracy_after, effect.balanced_accuracy_after) == (0.7, 0.5)
    assert (effect.yes_rate_before, effect.yes_rate_after) == (0.7, 1.0)


def test_many_ablations_at_once_are_each_one_alone() -> None:
    random = np.random.default_rng(0)
    label, images = random.random(60) < 0.5, random.integers(20, size=60)
    before, after = random.normal(size=60), random.normal(size=(3, 60))

    together = ablation_effects(label, before, after, images, seed=5, n_draws=500)

    alone = [ablation_effect(label, before, a, images, seed=5, n_draws=500) for a in after]
    assert together == alone


def test_samples_of_one_image_widen_the_interval() -> None:
    label = np.ones(40, bool)
    before, after = np.ones(40), np.where(np.arange(40) < 20, -1.0, 1.0)

    apart = ablation_effect(label, before, after, np.arange(40))
    in_fours = ablation_effect(label, before, after, np.arange(40) // 4)

    assert in_fours.delta_high - in_fours.delta_low > 1.5 * (apart.delta_high - apart.delta_low)


def test_outcomes_that_do_not_pair_up_are_refused() -> None:
    three, four = np.ones(3), np.ones(4)

    with pytest.raises(ValueError, match=r"3 labels, margins before \[4\]"):
        ablation_effect(three.astype(bool), four, three, three)
    with pytest.raises(ValueError, match="margins hold NaN or inf"):
        ablation_effect(three.astype(bool), three, three * np.nan, three)
