"""What breaks when a feature is removed, or a direction added (paper 5.3, D).

The text positions after decoder layer L are edited as in ``intervention``; image positions stay the
same. The answer is read off as in ``yes_no``, what became of the answers is counted in
``ablation_effect``, and what to compare with is drawn in ``control``.

Many edits of one layer share all that none of them changes. Under causal attention that is the
model up to L, and above L the keys and values of everything before the first text token: the
picture is read once, and each edit costs only the text tokens of the layers above L.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.ablation.intervention import Edit
from feature_atlas.ablation.yes_no import AnswerIds, yes_no_margin
from feature_atlas.vlm.head_probe import probed_heads
from feature_atlas.vlm.residual_stream import edit_residual, logits, residuals, text_model

# Largest relative disagreement of shared computation and plain forward pass; bfloat16 needs it.
TOLERANCE = 0.05


class AblatedMargins(NamedTuple):
    """Yes-no margins of every sample, in logits, without and with each of the edits."""

    before: Float[Tensor, " sample"]
    """Nothing edited."""
    after: Float[Tensor, "edit sample"]
    """Edited."""
    removed_norm: Float[Tensor, " edit"]
    """Mean over text tokens, and edited layers, of |y - y'| / |y|; 0 to 1 for a projection."""


def ablated_margins(
    model: PreTrainedModel,
    inputs_embeds: Float[Tensor, "sample token d_model"],
    attention_mask: Int[Tensor, "sample token"],
    text_mask: Bool[Tensor, "sample token"],
    layer: int,
    edits: Sequence[Mapping[int, Edit]],
    answers: AnswerIds,
    *,
    batch: int = 64,
) -> AblatedMargins:
    """Margins of all samples with text positions edited, once for each of ``edits``.

    One of them names an edit for each of one or more layers, ``layer`` or above. Equal, up to
    rounding, to one hooked forward pass each; the first sample of each call
    is checked against a plain forward pass: a text model may do more than run its blocks.
    """
    before, after, removed = [], [], []
    _require_above(layer, edits)
    with torch.no_grad():
        for start in range(0, len(inputs_embeds), batch):
            chosen = slice(start, start + batch)
            text = text_mask[chosen]
            clean = _read_clean(model, inputs_embeds[chosen], attention_mask[chosen], text, layer)
            margin = yes_no_margin(_logits_above(model, clean, clean.residual), answers)
            if start == 0:
                plain = yes_no_margin(logits(model, inputs_embeds[:1], attention_mask[:1]), answers)
                _require_equal(float(margin[0]), float(plain), layer)
            before.append(margin)
            ablated = [_edit_clean(model, clean, edit, text, answers) for edit in edits]
            after.append(torch.stack([margins for margins, _ in ablated]))
            removed.append(torch.stack([share for _, share in ablated]))
    n_text = text_mask.sum().clamp_min(1)
    return AblatedMargins(
        torch.cat(before), torch.cat(after, 1), torch.stack(removed).sum(0) / n_text
    )


class _CleanRun(NamedTuple):
    """One batch read up to the layer, and its constant beginning read to the end."""

    layer: int
    residual: Float[Tensor, "batch token d_model"]
    """Output of the layer."""
    attention_mask: Int[Tensor, "batch token"]
    start: int
    """First text token of any sample: nothing before it can change."""
    past: dict[tuple[str, int], Float[Tensor, "batch head past d_head"]]
    """("k" or "v", layer) of the tokens before ``start``, in the layers above."""


def _read_clean(
    model: PreTrainedModel,
    inputs_embeds: Float[Tensor, "batch token d_model"],
    attention_mask: Int[Tensor, "batch token"],
    text_mask: Bool[Tensor, "batch token"],
    layer: int,
) -> _CleanRun:
    residual = residuals(model, inputs_embeds, attention_mask, [layer])[layer]
    start = int(text_mask.any(0).int().argmax())
    past: dict[tuple[str, int], Tensor] = {}

    def remember(part: str, at: int, tensor: Tensor) -> Tensor:
        if part in ("k", "v"):
            past[part, at] = tensor
        return tensor

    if start > 0:
        with _start_above(model, layer), probed_heads(model, remember):
            text_model(model)(
                inputs_embeds=residual[:, :start],
                attention_mask=attention_mask[:, :start],
                use_cache=False,
            )
    return _CleanRun(layer, residual, attention_mask, start, past)


def _edit_clean(
    model: PreTrainedModel,
    clean: _CleanRun,
    edits: Mapping[int, Edit],
    text_mask: Bool[Tensor, "batch token"],
    answers: AnswerIds,
) -> tuple[Float[Tensor, " batch"], Float[Tensor, ""]]:
    """Margins, and |dy| / |y| summed over the text tokens, mean over the edited layers."""
    shares: list[Tensor] = []

    def apply(edit: Edit, mask: Tensor, hidden: Tensor) -> Tensor:
        edited = edit(hidden, mask)
        shares.append(_share_changed(hidden[mask], edited[mask]))
        return edited

    hidden, changeable = clean.residual, text_mask[:, clean.start :]
    if clean.layer in edits:
        hidden = apply(edits[clean.layer], text_mask, hidden)
    with ExitStack() as edited:
        for layer, edit in edits.items():
            if layer > clean.layer:
                hook = partial(apply, edit, changeable)
                edited.enter_context(edit_residual(model, layer, hook))
        margins = yes_no_margin(_logits_above(model, clean, hidden), answers)
    return margins, torch.stack(shares).mean(0)


def _share_changed(
    before: Float[Tensor, "position d_model"], after: Float[Tensor, "position d_model"]
) -> Float[Tensor, ""]:
    lengths = before.float().norm(dim=-1).clamp_min(1e-12)
    return ((after - before).float().norm(dim=-1) / lengths).sum()


def _require_above(layer: int, edits: Sequence[Mapping[int, Edit]]) -> None:
    if any(not of_layers or min(of_layers) < layer for of_layers in edits):
        named = [sorted(of_layers) for of_layers in edits]
        raise ValueError(f"edits of layers {named}: expected some each, none below layer {layer}.")


def _logits_above(
    model: PreTrainedModel, clean: _CleanRun, hidden: Float[Tensor, "batch token d_model"]
) -> Float[Tensor, "batch vocabulary"]:
    """Logits at the last token when ``hidden`` leaves the layer; runs only what it can change."""

    def recall(part: str, at: int, tensor: Tensor) -> Tensor:
        earlier = clean.past.get((part, at))
        return tensor if earlier is None else torch.cat([earlier, tensor], dim=2)

    n_tokens = hidden.shape[1]
    with _start_above(model, clean.layer), probed_heads(model, recall):
        top = text_model(model)(
            inputs_embeds=hidden[:, clean.start :],
            attention_mask=_causal_bias(clean.attention_mask, clean.start, hidden.dtype),
            position_ids=torch.arange(clean.start, n_tokens, device=hidden.device).unsqueeze(0),
            use_cache=False,
        ).last_hidden_state
    last = clean.attention_mask.sum(1) - 1 - clean.start
    return model.get_output_embeddings()(top[torch.arange(len(top)), last])


def _causal_bias(
    attention_mask: Int[Tensor, "batch token"], start: int, dtype: torch.dtype
) -> Float[Tensor, "batch 1 query token"]:
    """0 where the query tokens from ``start`` on may look, hugely negative elsewhere."""
    token = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    may_look = (token <= token[start:, None]) & attention_mask.bool()[:, None, None]
    bias = torch.zeros(may_look.shape, dtype=dtype, device=attention_mask.device)
    return bias.masked_fill(~may_look, torch.finfo(dtype).min)


@contextmanager
def _start_above(model: PreTrainedModel, layer: int) -> Iterator[None]:
    """Let the text model begin after ``layer``: its input is then that layer's output."""
    decoder = cast(Any, text_model(model))
    layers, n_layers = decoder.layers, decoder.config.num_hidden_layers
    decoder.layers = layers[layer + 1 :]
    decoder.config.num_hidden_layers = n_layers - layer - 1
    try:
        yield
    finally:
        decoder.layers = layers
        decoder.config.num_hidden_layers = n_layers


def _require_equal(shared: float, plain: float, layer: int) -> None:
    if not abs(shared - plain) <= TOLERANCE * (1 + abs(plain)):  # a NaN fails
        raise ValueError(
            f"restarted after layer {layer} the first sample has margin {shared:.4g}, a plain "
            f"forward pass gives {plain:.4g}: this text model does more than run its blocks on "
            "embeddings. Use vlm.edit_residual with each edit instead."
        )
