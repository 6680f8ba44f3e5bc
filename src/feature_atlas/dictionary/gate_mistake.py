"""Which of the usual mistakes explains a dictionary that fails its gate check (paper 3.2).

The dictionary is read again as if each mistake were put right, with dense codes on a few thousand
tokens; a reading under which every number comes within its bounds is what was done wrong.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.dictionary.gate_check import (
    CHUNK,
    Bounds,
    GateQuality,
    GateSums,
    Stated,
    out_of_bounds,
)
from feature_atlas.dictionary.sae import TopKSae, unit_directions


class Fit(NamedTuple):
    """A mistake, and what the dictionary would do without it."""

    mistake: str
    """What is wrong, in words."""
    quality: GateQuality
    """The numbers when the dictionary is read as if that were put right."""


class Reading(NamedTuple):
    """One way to read a dictionary; the defaults are the atlas's."""

    mistake: str
    """What was done wrong if the numbers fit this way."""
    sae: TopKSae
    unit: float
    """Scale of the normalised units in which lengths are measured."""
    gate_has_norm: bool = True
    """Whether the k strongest are chosen by activations times decoder norms."""
    subtracts_bias: bool = False
    """Whether the decoder bias is taken off the input."""
    has_threshold: bool = False
    """Whether one threshold for all tokens chooses, not the k strongest of each."""
    first_place: int = 1
    """First place of a document that counts; BOS has place 0."""


@torch.no_grad()
def diagnose(
    sae: TopKSae,
    residual: Float[Tensor, "token d_model"],
    place: Int[Tensor, " token"],
    bounds: Bounds,
    stated: Stated,
) -> list[Fit]:
    """The mistakes under whose correction the numbers lie within their bounds, best FVU first.

    ``residual`` are whole documents with their BOS, ``place`` each token's place in its document.
    """
    fits = []
    for reading in _readings(sae, residual[place >= 1], stated):
        read = residual[place >= reading.first_place]
        if len(read) > 1:  # documents of one token have no second place
            quality = _quality(reading, read, bounds)
            if not out_of_bounds(quality, bounds):
                fits.append(Fit(reading.mistake, quality))
    return sorted(fits, key=lambda fit: fit.quality.fvu)


def _readings(
    sae: TopKSae, counted: Float[Tensor, "token d_model"], stated: Stated
) -> Iterator[Reading]:
    """Every usual mistake, put right."""
    s = sae.scale
    found = sae.w_enc.shape[0] ** 0.5 / float(counted.double().norm(dim=-1).mean())
    other = f"{_scale_mistake(s, found)} (s is {s:.4g}, by this text it would be {found:.4g})"
    biases = {"b_enc": sae.b_enc / s, "b_dec": sae.b_dec / s}
    units = {"b_enc": sae.b_enc * (found / s), "b_dec": sae.b_dec * (found / s)}
    yield Reading(other, sae._replace(scale=found), found)
    yield Reading(other, sae._replace(scale=found, **units), found)
    yield Reading(SCALED_TWICE, sae._replace(scale=1.0), s)
    yield Reading(UNFOLDED, sae._replace(**biases), s)
    yield Reading(NO_NORM, sae, s, gate_has_norm=False)
    yield Reading(BIAS, sae, s, subtracts_bias=True)
    if stated.l0 is not None and round(stated.l0) not in (0, sae.k):
        k = min(round(stated.l0), len(sae.w_dec))
        yield Reading(WRONG_K.format(sae.k, k), sae._replace(k=k), s)
    yield Reading(THRESHOLD, sae, s, has_threshold=True)
    yield Reading(BOS_STATED, sae, s, first_place=0)
    yield Reading(BOS_COUNTED, sae, s, first_place=2)


def _scale_mistake(used: float, found: float) -> str:
    """Which mistake leads from the right scale to the one that was used."""
    for mistake, wrong in ((NOT_SCALED, 1.0), (SQUARED, found**2)):
        if abs(used / wrong - 1) < 0.1:
            return mistake
    return OTHER_SCALE


def _quality(
    reading: Reading, residual: Float[Tensor, "token d_model"], bounds: Bounds
) -> GateQuality:
    sae = reading.sae
    d_sae, d_model = sae.w_dec.shape
    sums = GateSums.empty(d_model, d_sae, residual.device)
    cut = None
    for part in residual.float().split(CHUNK):
        choice, strength = _gates(reading, part)
        if reading.has_threshold and cut is None:
            n_fire = min(round(len(part) * sum(bounds.l0) / 2), choice.numel())
            cut = choice.flatten().topk(n_fire).values[-1].clamp_min(0)
        keep = _strongest(choice, sae.k) if cut is None else choice >= cut
        acts = torch.where(keep, strength, 0.0).relu()
        rebuilt = (acts @ unit_directions(sae) + sae.b_dec) / sae.scale
        sums.add(part, rebuilt, (acts > 0).sum(0), reading.unit)
    return sums.quality()


def _gates(
    reading: Reading, residual: Float[Tensor, "token d_model"]
) -> tuple[Float[Tensor, "token d_sae"], Float[Tensor, "token d_sae"]]:
    """By what features are chosen, and how strongly they would fire; dense."""
    sae = reading.sae
    inputs = sae.scale * residual - (sae.b_dec if reading.subtracts_bias else 0.0)
    gate = inputs @ sae.w_enc + sae.b_enc
    strength = gate * sae.w_dec.norm(dim=-1)
    return (strength if reading.gate_has_norm else gate), strength


def _strongest(choice: Float[Tensor, "token d_sae"], k: int) -> Bool[Tensor, "token d_sae"]:
    top = choice.topk(k, dim=-1).indices
    return torch.zeros_like(choice, dtype=torch.bool).scatter_(1, top, True)


NOT_SCALED = "the input is not scaled"
SQUARED = "the scale was squared: the input is scaled twice"
OTHER_SCALE = "the scale is not the release's: estimated on other tokens, or of another layer"
SCALED_TWICE = (
    "the input is scaled twice: the weights take raw residuals, with the scale folded into them, "
    "and are read as weights of the normalised space"
)
UNFOLDED = (
    "the input is not scaled: the weights live in the normalised space (an unfolded checkpoint) "
    "and are read as if they took raw residuals"
)
NO_NORM = (
    "the decoder norms: this dictionary was trained with a gate that leaves them out, or its "
    "decoder rows were rescaled without its encoder"
)
BIAS = "the decoder bias: the release subtracts b_dec from the input, and here it is not"
THRESHOLD = (
    "a threshold is read as TopK: the release fires whatever is above its threshold, not the k "
    "strongest of each token"
)
WRONG_K = "k is {}, and the release's L0 says {}"
BOS_STATED = "BOS: the release's numbers count it, and here it is left out"
BOS_COUNTED = (
    "BOS: the first counted token of each document is like one, so BOS is counted, or stands twice"
)
