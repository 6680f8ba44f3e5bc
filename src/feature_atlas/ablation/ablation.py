"""What breaks when a feature is removed, or a direction added (paper 5.3, D).

The text positions after decoder layer L are edited as in ``intervention``; image positions stay the
same. The answer is read off as in ``yes_no``, what became of the answers is counted in
``ablation_effect``, and what to compare with is drawn in ``control``.

Many edits of one layer share all that none of them changes: the clean run up to L, and above L the
keys and values of everything before the first text token (`resume`). The picture is read once, and
each edit costs only the text tokens of the layers above L.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.ablation.intervention import Edit
from feature_atlas.ablation.yes_no import AnswerIds, yes_no_margin
from feature_atlas.vlm.decoder_inputs import DecoderInputs
from feature_atlas.vlm.residual_stream import edit_residual, unembed
from feature_atlas.vlm.resume import CleanRun, clean_run, resumed_logits

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
    inputs: DecoderInputs,
    text_mask: Bool[Tensor, "sample token"],
    layer: int,
    edits: Sequence[Mapping[int, Edit]],
    answers: AnswerIds,
) -> AblatedMargins:
    """Margins of all samples with text positions edited, once for each of ``edits``.

    One of them names an edit for each of one or more layers, ``layer`` or above. Equal, up to
    rounding, to one hooked forward pass each; the run resumed without an edit is held against the
    plain one.
    """
    _require_above(layer, edits)
    with torch.no_grad():
        clean = clean_run(model, inputs, layer, text_mask)
        before = yes_no_margin(resumed_logits(model, clean, clean.residual), answers)
        _require_equal(before, yes_no_margin(unembed(model, clean.top), answers), layer)
        edited = (_edit_clean(model, clean, edit, text_mask) for edit in edits)
        ablated = [(yes_no_margin(logits, answers), share) for logits, share in edited]
    margins, shares = (torch.stack(column) for column in zip(*ablated, strict=True))
    return AblatedMargins(before, margins, shares / text_mask.sum().clamp_min(1))


@torch.no_grad()
def edited_logits(
    model: PreTrainedModel,
    inputs: DecoderInputs,
    text_mask: Bool[Tensor, "sample token"],
    layer: int,
    edits: Sequence[Edit],
) -> Iterator[Float[Tensor, "sample vocabulary"]]:
    """Logits at the last token untouched, then with each edit of one layer's text positions."""
    clean = clean_run(model, inputs, layer, text_mask)
    yield resumed_logits(model, clean, clean.residual)
    for edit in edits:
        yield _edit_clean(model, clean, {layer: edit}, text_mask)[0]


def _edit_clean(
    model: PreTrainedModel,
    clean: CleanRun,
    edits: Mapping[int, Edit],
    text_mask: Bool[Tensor, "batch token"],
) -> tuple[Float[Tensor, "batch vocabulary"], Float[Tensor, ""]]:
    """Logits, and |dy| / |y| summed over the text tokens, mean over the edited layers."""
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
        logits = resumed_logits(model, clean, hidden)
    return logits, torch.stack(shares).mean(0)


def _share_changed(
    before: Float[Tensor, "position d_model"], after: Float[Tensor, "position d_model"]
) -> Float[Tensor, ""]:
    lengths = before.float().norm(dim=-1).clamp_min(1e-12)
    return ((after - before).float().norm(dim=-1) / lengths).sum()


def _require_above(layer: int, edits: Sequence[Mapping[int, Edit]]) -> None:
    if any(not of_layers or min(of_layers) < layer for of_layers in edits):
        named = [sorted(of_layers) for of_layers in edits]
        raise ValueError(f"edits of layers {named}: expected some each, none below layer {layer}.")


def _require_equal(
    resumed: Float[Tensor, " sample"], plain: Float[Tensor, " sample"], layer: int
) -> None:
    apart = (resumed - plain).abs() / (1 + plain.abs())
    worst = int(apart.argmax())
    if not apart[worst] <= TOLERANCE:  # a NaN fails
        raise ValueError(
            f"resumed after layer {layer} a sample has margin {float(resumed[worst]):.4g}, a plain "
            f"forward pass gives {float(plain[worst]):.4g}: this text model does more than run its "
            "layers on what it gave them. Use edit_residual with each edit instead."
        )
