"""Which of the usual mistakes explains a dictionary that fails its gate check (paper 3.2).

The dictionary is read again as if each mistake were put right, on a few thousand tokens; a reading
under which every number comes within its bounds is what was done wrong.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.dictionary.gate import Threshold, TopK
from feature_atlas.dictionary.gate_check import (
    CHUNK,
    Bounds,
    GateQuality,
    GateSums,
    Stated,
    add_tokens,
    out_of_bounds,
)
from feature_atlas.dictionary.sae import Sae, without_decoder_bias


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
    sae: Sae
    """The dictionary without it."""
    unit: float
    """Scale of the normalised units in which lengths are measured."""
    first_place: int = 1
    """First place of a document that counts; BOS has place 0."""


@torch.no_grad()
def diagnose(
    sae: Sae,
    residual: Float[Tensor, "token d_model"],
    place: Int[Tensor, " token"],
    bounds: Bounds,
    stated: Stated,
) -> list[Fit]:
    """The mistakes under whose correction the numbers lie within their bounds, best FVU first.

    ``residual`` are whole documents with their BOS, ``place`` each token's place in its document.
    """
    fits = []
    for reading in _readings(sae, residual[place >= 1], bounds, stated):
        read = residual[place >= reading.first_place]
        if len(read) > 1:  # documents of one token have no second place
            quality = _quality(reading, read)
            if not out_of_bounds(quality, bounds):
                fits.append(Fit(reading.mistake, quality))
    return sorted(fits, key=lambda fit: float(f"{fit.quality.fvu:.2g}"))  # else the order decides


def _readings(
    sae: Sae, counted: Float[Tensor, "token d_model"], bounds: Bounds, stated: Stated
) -> Iterator[Reading]:
    """Every usual mistake, put right."""
    s = sae.scale
    found = sae.w_enc.shape[0] ** 0.5 / float(counted.double().norm(dim=-1).mean())
    other = f"{_scale_mistake(s, found)} (s is {s:.4g}, by this text it would be {found:.4g})"
    yield Reading(other, sae._replace(scale=found), found)
    yield Reading(other, sae.with_biases_times(found / s)._replace(scale=found), found)
    yield Reading(SCALED_TWICE, sae._replace(scale=1.0), s)
    yield Reading(UNFOLDED, sae.with_biases_times(1 / s), s)
    less = without_decoder_bias(sae.w_enc, sae.b_enc, sae.b_dec)
    yield Reading(BIAS, sae._replace(b_enc=less), s)
    yield from _other_gates(sae, counted, bounds, stated)
    yield Reading(BOS_STATED, sae, s, first_place=0)
    yield Reading(BOS_COUNTED, sae, s, first_place=2)


def _other_gates(
    sae: Sae, counted: Float[Tensor, "token d_model"], bounds: Bounds, stated: Stated
) -> Iterator[Reading]:
    """The gates that this one may have been taken for."""
    gate, norm, d_sae = sae.gate, sae.w_dec.norm(dim=-1).clamp_min(1e-12), len(sae.w_dec)
    k = None if stated.l0 is None else min(round(stated.l0), d_sae)
    if isinstance(gate, Threshold):
        yield Reading(NO_NORM, sae._replace(gate=Threshold(gate.theta / norm)), sae.scale)
        if k:
            yield Reading(TOPK, sae._replace(gate=TopK(k)), sae.scale)
        return
    yield Reading(NO_NORM, sae._replace(gate=TopK(gate.k, not gate.sees_norms)), sae.scale)
    if k and k != gate.k:
        wrong = WRONG_K.format(gate.k, k)
        yield Reading(wrong, sae._replace(gate=gate._replace(k=k)), sae.scale)
    cut = _cut(sae, counted[:CHUNK], sum(bounds.l0) / 2)
    yield Reading(THRESHOLD, sae._replace(gate=Threshold(cut / norm)), sae.scale)


def _cut(sae: Sae, residual: Float[Tensor, "token d_model"], l0: float) -> Float[Tensor, ""]:
    """The activation that so many features of a token exceed, on average."""
    strength = (sae.scale * residual.float() @ sae.w_enc + sae.b_enc) * sae.w_dec.norm(dim=-1)
    n_fire = min(round(len(residual) * l0) + 1, strength.numel())  # what is cut at is silent
    return strength.flatten().topk(n_fire).values[-1].clamp_min(0)


def _scale_mistake(used: float, found: float) -> str:
    """Which mistake leads from the right scale to the one that was used."""
    for mistake, wrong in ((NOT_SCALED, 1.0), (SQUARED, found**2)):
        if abs(used / wrong - 1) < 0.1:
            return mistake
    return OTHER_SCALE


def _quality(reading: Reading, residual: Float[Tensor, "token d_model"]) -> GateQuality:
    d_sae, d_model = reading.sae.w_dec.shape
    sums = GateSums.empty(d_model, d_sae, residual.device)
    add_tokens(sums, reading.sae, residual, reading.unit)
    return sums.quality()


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
    "the decoder norms: this dictionary was trained with a gate that leaves them out (or sees "
    "them, where this one does not), or its decoder rows were rescaled without its encoder"
)
BIAS = "the decoder bias: the release subtracts b_dec from the input, and here it is not"
THRESHOLD = (
    "a threshold is read as TopK: the release fires whatever is above its threshold, not the k "
    "strongest of each token"
)
TOPK = (
    "thresholds are compared where the release fires the strongest features of each token, as many "
    "as its L0"
)
WRONG_K = "k is {}, and the release's L0 says {}"
BOS_STATED = "BOS: the release's numbers count it, and here it is left out"
BOS_COUNTED = (
    "BOS: the first counted token of each document is like one, so BOS is counted, or stands twice"
)
