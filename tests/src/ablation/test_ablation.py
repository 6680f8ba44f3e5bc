"""Ablation: the projection and the shared computation."""

from contextlib import ExitStack
from functools import partial
from itertools import count

import pytest
import torch
from plain_inputs import plain
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from feature_atlas.ablation.ablation import ablated_margins
from feature_atlas.ablation.intervention import Edit, addition, directional, span_removal
from feature_atlas.ablation.yes_no import AnswerIds, yes_no_margin
from feature_atlas.vlm.decoder_inputs import text_model
from feature_atlas.vlm.residual_stream import edit_residual, freeze, logits

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


def hooked_logits(
    model: LlamaForCausalLM, embeds: Tensor, mask: Tensor, is_text: Tensor, edits: dict[int, Edit]
) -> Tensor:
    """A plain forward pass with an edit after each of some layers."""
    with ExitStack() as hooks:
        for layer, edit in edits.items():
            hooks.enter_context(edit_residual(model, layer, partial(edit, text_mask=is_text)))
        return logits(model, plain(embeds, mask))


def removals(layer: int, n: int) -> list[dict[int, Edit]]:
    return [{layer: directional(row)} for row in unit_rows(n)]


def test_the_component_along_the_direction_is_removed_at_text_positions() -> None:
    hidden = torch.tensor([[[3.0, 4.0], [3.0, 4.0]]])
    is_text = torch.tensor([[False, True]])

    ablated = directional(torch.tensor([0.6, 0.8]))(hidden, is_text)

    assert ablated[0, 0].tolist() == [3.0, 4.0]
    assert ablated[0, 1].norm() < 1e-6  # (3, 4) is 5 v
    assert hidden[0, 1].tolist() == [3.0, 4.0]  # a new tensor; the old one is untouched


def test_nothing_is_left_of_the_direction_and_images_are_bit_identical() -> None:
    hidden, _, is_text = samples()
    direction = unit_rows(1)[0]

    ablated = directional(direction)(hidden, is_text)

    left = (ablated @ direction).abs() / hidden.norm(dim=-1)
    assert left[is_text].max() < 1e-6
    assert torch.equal(ablated[~is_text], hidden[~is_text])


@pytest.mark.parametrize(
    "edit", [directional(torch.zeros(D_MODEL)), addition(unit_rows(1)[0], 0.0)]
)
def test_a_zero_direction_and_nothing_added_change_no_logit(
    model: LlamaForCausalLM, edit: Edit
) -> None:
    embeds, mask, is_text = samples()

    edited = hooked_logits(model, embeds, mask, is_text, {1: edit})

    assert torch.equal(edited, logits(model, plain(embeds, mask)))


@pytest.mark.parametrize("layer", range(N_LAYERS))
def test_sharing_the_clean_run_equals_one_hooked_pass_each(
    model: LlamaForCausalLM, layer: int
) -> None:
    embeds, mask, is_text = samples()
    edits = [*removals(layer, 3), {layer: span_removal(unit_rows(3))}]

    shared = ablated_margins(model, plain(embeds, mask), is_text, layer, edits, ANSWERS)

    untouched = yes_no_margin(logits(model, plain(embeds, mask)), ANSWERS)
    torch.testing.assert_close(shared.before, untouched, atol=1e-5, rtol=1e-5)
    for edit, after in zip(edits, shared.after, strict=True):
        hooked = yes_no_margin(hooked_logits(model, embeds, mask, is_text, edit), ANSWERS)
        torch.testing.assert_close(after, hooked, atol=1e-5, rtol=1e-5)
    assert (shared.after - shared.before).abs().mean() > 0.01


def test_text_at_the_very_beginning_leaves_nothing_to_share(model: LlamaForCausalLM) -> None:
    embeds, mask, _ = samples()
    is_text = mask.bool()

    shared = ablated_margins(model, plain(embeds, mask), is_text, 1, removals(1, 1), ANSWERS)

    hooked = hooked_logits(model, embeds, mask, is_text, removals(1, 1)[0])
    torch.testing.assert_close(
        shared.after[0], yes_no_margin(hooked, ANSWERS), atol=1e-5, rtol=1e-5
    )


def test_edits_of_several_layers_equal_one_pass_with_all_hooks(model: LlamaForCausalLM) -> None:
    embeds, mask, is_text = samples()
    rows = unit_rows(3)
    both = {1: directional(rows[0]), 2: span_removal(rows[1:])}
    above = {3: directional(rows[0])}  # nothing at the layer up to which all is shared

    shared = ablated_margins(model, plain(embeds, mask), is_text, 1, [both, above], ANSWERS)

    for edits, after in zip([both, above], shared.after, strict=True):
        hooked = yes_no_margin(hooked_logits(model, embeds, mask, is_text, edits), ANSWERS)
        torch.testing.assert_close(after, hooked, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"edits of layers \[\[1, 2\]\]: .* none below layer 2"):
        ablated_margins(model, plain(embeds, mask), is_text, 2, [both], ANSWERS)


def test_removed_norm_is_the_mean_over_text_tokens(model: LlamaForCausalLM) -> None:
    embeds, mask, is_text = samples()
    direction = unit_rows(1)

    edits = removals(2, 1)
    shared = ablated_margins(model, plain(embeds, mask), is_text, 2, edits, ANSWERS)

    seen = []
    with edit_residual(model, 2, lambda hidden: seen.append(hidden) or hidden):
        logits(model, plain(embeds, mask))
    y = seen[0][is_text]
    expected = ((y @ direction[0]).abs() / y.norm(dim=-1)).mean()
    torch.testing.assert_close(shared.removed_norm[0], expected)


def test_the_model_is_left_as_it_was(model: LlamaForCausalLM) -> None:
    embeds, mask, is_text = samples()
    before = logits(model, plain(embeds, mask))

    ablated_margins(model, plain(embeds, mask), is_text, 1, removals(1, 1), ANSWERS)

    assert torch.equal(logits(model, plain(embeds, mask)), before)
    assert len(text_model(model).layers) == text_model(model).config.num_hidden_layers == N_LAYERS


def scaling_llama() -> LlamaForCausalLM:
    """Like Gemma, which scales whatever comes in as embeddings."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20, hidden_size=D_MODEL, intermediate_size=8, num_hidden_layers=2,
        num_attention_heads=2, initializer_range=0.3,
    )  # fmt: skip
    scaling = freeze(LlamaForCausalLM(config))
    scaling.model.register_forward_pre_hook(
        lambda _module, _args, given: (
            ((), given | {"inputs_embeds": 9 * given["inputs_embeds"]})
            if given.get("inputs_embeds") is not None
            else None
        ),
        with_kwargs=True,
    )
    return scaling


def test_a_model_that_scales_its_embeddings_is_resumed_after_that() -> None:
    embeds, mask, is_text = samples()
    scaling, (edit,) = scaling_llama(), removals(0, 1)

    shared = ablated_margins(scaling, plain(embeds, mask), is_text, 0, [edit], ANSWERS)

    hooked = yes_no_margin(hooked_logits(scaling, embeds, mask, is_text, edit), ANSWERS)
    torch.testing.assert_close(shared.after[0], hooked, atol=1e-5, rtol=1e-5)


def test_a_model_that_answers_otherwise_the_second_time_is_found_out() -> None:
    embeds, mask, is_text = samples()
    fickle, calls, row = scaling_llama(), count(1), 9 * unit_rows(1)[0]
    fickle.model.layers[1].register_forward_hook(lambda _layer, _, out: out + next(calls) * row)

    with pytest.raises(ValueError, match=r"resumed after layer 0 .*Use edit_residual with each"):
        ablated_margins(fickle, plain(embeds, mask), is_text, 0, removals(0, 1), ANSWERS)
