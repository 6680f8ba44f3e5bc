"""What becomes of a feature, and of the answers, without its heads (paper 5.2, C; 5.3).

The chosen heads take their queries and keys, or their output, from the corrupt run, while all else
sees the picture: so picture -> heads -> feature -> answer is one chain, cut at the heads. Random
heads that look at the picture as much as the chosen ones are cut instead for comparison.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.ablation.yes_no import AnswerIds, yes_no_margin
from feature_atlas.dictionary.sae import Encoder
from feature_atlas.heads.exact_patch import patched_heads
from feature_atlas.vlm.decoder_inputs import DecoderInputs
from feature_atlas.vlm.head_probe import Head, HeadActivations, Part, probed_heads
from feature_atlas.vlm.residual_stream import edit_residual, logits, residuals

# A matched head is drawn among this many heads nearest in image mass.
N_NEAREST = 5


class Readout(NamedTuple):
    """A feature and the answer in one run, per prompt."""

    projection: Float[Tensor, " batch"]
    """Residual on the feature's unit direction, mean over text tokens, raw units."""
    activation: Float[Tensor, " batch"]
    """The feature's activation, mean over text tokens, normalised units."""
    margin: Float[Tensor, " batch"]
    """Logit of yes over no."""


class Question(NamedTuple):
    """What is read off a run."""

    layer: int
    """Of the feature."""
    feature: int
    """Its number."""
    direction: Float[Tensor, " d_model"]
    """Its unit decoder row."""
    encoder: Encoder
    """Of its dictionary."""
    answers: AnswerIds
    """First tokens of yes and no."""


def read_out(
    model: PreTrainedModel,
    inputs: DecoderInputs,
    text_mask: Bool[Tensor, "batch token"],
    question: Question,
) -> Readout:
    """One forward pass to the end, under whatever patches are in place."""
    seen: list[Tensor] = []

    def look(hidden: Tensor) -> Tensor:
        seen.append(hidden)
        return hidden

    with torch.no_grad(), edit_residual(model, question.layer, look):
        margin = yes_no_margin(logits(model, inputs), question.answers)
    n_text = text_mask.sum(1).clamp_min(1)
    projections = (seen[0].float() @ question.direction.float()) * text_mask
    codes = question.encoder.encode(seen[0][text_mask])
    fired = (codes.values * (codes.indices == question.feature)).sum(1)
    activations = torch.zeros(text_mask.shape, dtype=fired.dtype, device=fired.device)
    activations[text_mask] = fired
    return Readout(projections.sum(1) / n_text, activations.sum(1) / n_text, margin)


def read_out_without(
    model: PreTrainedModel,
    inputs: DecoderInputs,
    donor: HeadActivations,
    text_mask: Bool[Tensor, "batch token"],
    question: Question,
    *,
    heads: Sequence[Head],
    parts: Sequence[Part],
) -> Readout:
    """The same with these parts of these heads taken from the donor run, the corrupt one."""
    with patched_heads(model, donor, heads, parts):
        return read_out(model, inputs, text_mask, question)


def image_mass(
    model: PreTrainedModel,
    inputs: DecoderInputs,
    text_mask: Bool[Tensor, "batch token"],
    image_mask: Bool[Tensor, "batch token"],
    layer: int,
) -> Float[Tensor, "layer head"]:
    """Share of each head's attention that goes from text to the picture, 0 to 1, mean over text."""
    masses: dict[int, Tensor] = {}

    def probe(part: str, at: int, tensor: Tensor) -> Tensor:
        if part == "pattern":
            on_image = torch.einsum("bhqt,bt->bhq", tensor.float(), image_mask.float())
            share = text_mask / text_mask.sum(1, keepdim=True).clamp_min(1)
            masses[at] = torch.einsum("bhq,bq->bh", on_image, share).mean(0)
        return tensor

    with torch.no_grad(), probed_heads(model, probe):
        residuals(model, inputs, [layer])
    return torch.stack([masses[at] for at in range(layer + 1)])


def matched_heads(
    top: Sequence[Head], mass: Float[np.ndarray, "layer head"], *, n_sets: int, seed: int
) -> list[list[Head]]:
    """Sets of other heads; each head stands for a top head of about the same image mass.

    Within a set no head comes twice; no set holds a top head.
    """
    others = [h for h in np.ndindex(*mass.shape) if h not in set(top)]
    if len(others) < len(top):
        raise ValueError(
            f"{len(top)} heads of {mass.size} leave {len(others)} to match them with: expected at "
            "least as many. Knock out fewer (head_knockout.n_heads)."
        )
    random = np.random.default_rng(seed)
    sets = []
    for _ in range(n_sets):
        left, drawn = list(others), []
        for head in top:
            left.sort(key=lambda other: abs(mass[other] - mass[head]))
            drawn.append(left.pop(int(random.integers(min(N_NEAREST, len(left))))))
        sets.append(drawn)
    return sets
