"""Does every way in which this code runs a model give what the whole model gives? (paper 3.1)

The referee is the model's own plain forward on the processor's tensors, with hooks that only look.
Held against it, layer by layer:

    residual    what statistics are taken from
    remembered  the same from the question on, behind what is remembered of the picture; where a
                family allows it
    heads       the same with every attention head looked into
    answer      logits at the last token
    resumed     the same after an edit of the text, resumed above the layer; against a plain
                forward with a hook that makes the edit

The last and `heads` look into attention, which fused kernels do not let them: their referee is
the model with transformers' own unfused ("eager") attention, which rounds in the same places.

A difference is that of one token's residual (or one prompt's logits), relative to its length.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.vlm.decoder_inputs import decoder_inputs
from feature_atlas.vlm.head_probe import attention_by, record_heads
from feature_atlas.vlm.image_features import accepted, image_features
from feature_atlas.vlm.prompt_keys import prompt_keys
from feature_atlas.vlm.residual_stream import edit_residual, logits, residuals
from feature_atlas.vlm.resume import clean_run, resumed_logits
from feature_atlas.vlm.token_roles import TEXT_ROLES, PromptBatch

Piece = Literal["residual", "remembered", "heads", "answer", "resumed"]
BOUNDS = {torch.float64: 1e-4, torch.float32: 1e-4, torch.bfloat16: 2.0**-5, torch.float16: 2.0**-8}
"""Largest difference by the model's type. Float32 rounds to 6e-8, and a layer adds up some
thousands of roundings; a wrong mask, cap or position moves a residual by percents. Bfloat16 rounds
to 2^-8: eight such roundings, since products of fewer tokens may add up in another order."""


class Agreement(NamedTuple):
    """How far one piece is from the model's own forward at one layer."""

    piece: Piece
    layer: int
    difference: float
    """Greatest relative difference of any token or prompt; NaN if one of the two is."""


class Own(NamedTuple):
    """What the whole model gives."""

    residuals: dict[int, Float[Tensor, "batch token d_model"]]
    logits: Float[Tensor, "batch vocabulary"]
    """At the last token of each prompt."""


@torch.no_grad()
def check_forward(
    model: PreTrainedModel, batch: PromptBatch, layers: Sequence[int]
) -> list[Agreement]:
    """Every piece at every one of ``layers``, on a few prompts with pictures."""
    inputs, own, top = decoder_inputs(model, batch), own_forward(model, batch, layers), max(layers)
    with attention_by(model, "eager"):
        unfused = own_forward(model, batch, layers)
        resumed = [_resumed(model, batch, layer) for layer in layers]
    is_token = batch.attention_mask.bool()
    runs: dict[Piece, tuple[dict[int, Tensor], Own]] = {
        "residual": (residuals(model, inputs, layers), own),
        "heads": (record_heads(model, inputs, layers).residuals, unfused),
    }
    found = [
        Agreement(piece, layer, _apart(run[layer][is_token], its.residuals[layer][is_token]))
        for piece, (run, its) in runs.items()
        for layer in layers
    ]
    found.extend(_remembered(model, batch, own))
    found.append(Agreement("answer", top, _apart(logits(model, inputs), own.logits)))
    return [*found, *resumed]


@torch.no_grad()
def own_forward(model: PreTrainedModel, batch: PromptBatch, layers: Sequence[int] = ()) -> Own:
    """The whole model on the processor's tensors, as its documentation calls it."""
    captured: dict[int, Tensor] = {}

    def look(layer: int, hidden: Tensor) -> Tensor:
        captured[layer] = hidden
        return hidden

    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(edit_residual(model, layer, partial(look, layer)))
        found = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            use_cache=False,
            **accepted(model.forward, batch.processed),
        )
    last = batch.attention_mask.sum(1) - 1
    return Own(captured, found.logits[torch.arange(len(last), device=last.device), last])


def _remembered(model: PreTrainedModel, batch: PromptBatch, own: Own) -> list[Agreement]:
    """Nothing where prompts of this family, or of these pictures, must run whole."""
    keys = prompt_keys(model, batch)
    if keys is None:
        return []
    inputs, start = keys.inputs(model, batch), len(keys.ids)
    is_token = inputs.token_mask.bool()
    found = residuals(model, inputs, list(own.residuals))
    return [
        Agreement(
            "remembered", at, _apart(hidden[is_token], own.residuals[at][:, start:][is_token])
        )
        for at, hidden in found.items()
    ]


def _resumed(model: PreTrainedModel, batch: PromptBatch, layer: int) -> Agreement:
    """Text pushed along a fixed direction after the layer, by as much as it is long."""
    is_text = torch.isin(batch.roles, torch.tensor(TEXT_ROLES, device=batch.roles.device))
    clean = clean_run(model, decoder_inputs(model, batch), layer, is_text)
    pushed = _pushed(clean.residual, is_text)
    found = resumed_logits(model, clean, pushed)
    with edit_residual(model, layer, partial(_pushed, is_text=is_text)):
        expected = own_forward(model, batch).logits
    return Agreement("resumed", layer, _apart(found, expected))


def _pushed(
    hidden: Float[Tensor, "batch token d_model"], is_text: Bool[Tensor, "batch token"]
) -> Float[Tensor, "batch token d_model"]:
    generator = torch.Generator().manual_seed(0)
    row = torch.randn(hidden.shape[-1], generator=generator).to(hidden)
    push = row / row.norm() * hidden.norm(dim=-1, keepdim=True)
    return torch.where(is_text.unsqueeze(-1), hidden + push, hidden)


def _apart(found: Float[Tensor, "row column"], own: Float[Tensor, "row column"]) -> float:
    lengths = own.float().norm(dim=-1).clamp_min(1e-12)
    return float(((found.float() - own.float()).norm(dim=-1) / lengths).max())


@torch.no_grad()
def require_own_features(model: PreTrainedModel, batch: PromptBatch) -> None:
    """An error where a batch's features, each picture's by itself, are not those of its pixels."""
    own = image_features(model, batch._replace(features=None))
    pairs = zip(image_features(model, batch).levels, own.levels, strict=True)
    difference, bound = max(_apart(*pair) for pair in pairs), BOUNDS[model.dtype]
    if not difference <= bound:  # a NaN is wrong
        raise ValueError(
            f"image features of pictures by themselves differ from those in a batch by "
            f"{difference:.2g}, expected at most {bound:.2g}: the processor or the vision tower "
            "looks at several pictures at once, which is not known here. Nothing was computed."
        )


def require_own_forward(found: Sequence[Agreement], bound: float) -> None:
    """An error that names the worst piece and its layer."""
    wrong = [one for one in found if not one.difference <= bound]  # a NaN is wrong
    if not wrong:
        return
    pieces = list(dict.fromkeys(one.piece for one in wrong))
    first = next(one for one in wrong if one.piece == pieces[0])
    said = {
        "residual": "the residuals that statistics are taken from",
        "remembered": "the residuals behind what is remembered of a picture",
        "heads": "the run in which attention heads are looked into",
        "answer": "the logits of the answer",
        "resumed": "the run resumed after an edit",
    }
    raise ValueError(
        f"{said[first.piece]} differ from the model's own forward by {first.difference:.2g} at "
        f"layer {first.layer}, expected at most {bound:.2g} (also wrong: "
        f"{', '.join(pieces[1:]) or 'nothing else'}): this model, or this version of transformers, "
        "does something that is not known here, and its numbers would be those of another model. "
        "Nothing was computed."
    )
