"""Turned, or used less? Latent scaling of every feature (beside paper 4.2; Minder et al. 2025).

A cosine says where a feature points, not how strongly the model writes there. So both models read
the same tokens, and where the base dictionary fires on the base model's residual, with activation
a_f, the feature's part of each residual is fitted by a_f times its unit direction d_f:

    beta = argmin sum_t |beta a_f(t) d_f - y_f(t)|^2 = sum_t a_f(t) d_f . y_f(t) / sum_t a_f(t)^2
    y_f  = z - b - sum over g other than f of a_g d_g        what nothing else accounts for

with z the normalised residual and a_g, d_g, b of the model's own dictionary: the base's for the
base model, the adapted one for the VLM. The scale of a feature is beta of the VLM over beta of the
base: 1 where the VLM writes it as strongly, in whatever direction; 0.5 where half as strongly;
around 0 where no longer. Low with a cosine near 1: shrunk. About 1 with a low cosine: turned.

What a gate cut off is in y_f all the same: a feature that shrank below its threshold is not silent.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.dictionary.sae import Encoder, Sae, unit_directions, written
from feature_atlas.statistics.ordered_sum import add_in_order, count

GROUPS = ("text", "image")
"""Kinds of tokens that are summed apart."""
# Directions of so many numbers are gathered at once: a gigabyte in float32.
_GATHERED = 2**28


class Reader(NamedTuple):
    """A dictionary as residuals are read with it: each of its matrices once."""

    encoder: Encoder
    """Its encoder, folded."""
    unit: Float[Tensor, "d_sae d_model"]
    """Its directions."""
    bias: Float[Tensor, " d_model"]
    """Of its decoder."""
    scale: float
    """s: normalised = s * raw residual."""

    @classmethod
    def of(cls, sae: Sae) -> "Reader":
        """Prepared once."""
        return cls(Encoder.of(sae), unit_directions(sae), sae.b_dec, sae.scale)

    def left_over(
        self, residual: Float[Tensor, "token d_model"], codes: SparseCodes
    ) -> Float[Tensor, "token d_model"]:
        """What no feature accounts for, normalised."""
        decoded = (written(self.unit, codes) + self.bias) / self.scale
        return self.scale * (residual.float() - decoded)

    def parts(
        self,
        residual: Float[Tensor, "token d_model"],
        codes: SparseCodes,
        features: Int[Tensor, "token width"],
    ) -> Float[Tensor, "token width"]:
        """d_f . y_f of some features of every token."""
        is_own = codes.indices[:, None, :] == features[:, :, None]
        own = (codes.values[:, None, :] * is_own).sum(-1)
        left = self.left_over(residual, codes)
        n = max(1, _GATHERED // (features.shape[1] * left.shape[1]))
        pairs = zip(left.split(n), features.split(n), strict=True)
        along = [torch.einsum("td,tkd->tk", rest, self.unit[f]) for rest, f in pairs]
        return own + torch.cat(along)


class ScalingSums(NamedTuple):
    """Running sums of one layer, by group of tokens; those on which the base feature fires.

    Tensors only, float64, and updated in place.
    """

    squares: Float[Tensor, "group d_sae"]
    """Of the base model's activation a."""
    base: Float[Tensor, "group d_sae"]
    """Of a times the feature's part of the base model's residual."""
    vlm: Float[Tensor, "group d_sae"]
    """Of a times its part of the VLM's residual."""
    vlm_squares: Float[Tensor, "group d_sae"]
    """Of its part of the VLM's residual."""
    tokens: Int[Tensor, "group d_sae"]
    """How many tokens."""

    @classmethod
    def empty(cls, d_sae: int, device: torch.device | str = "cpu") -> "ScalingSums":
        """Nothing seen yet."""
        sum_of, n_of = (
            torch.zeros(len(GROUPS), d_sae, dtype=dtype, device=device)
            for dtype in (torch.float64, torch.int64)
        )
        return cls(sum_of, sum_of.clone(), sum_of.clone(), sum_of.clone(), n_of)

    def add(
        self,
        base: Reader,
        of_base: Float[Tensor, "token d_model"],
        vlm: Reader,
        of_vlm: Float[Tensor, "token d_model"],
        group: Int[Tensor, " token"],
    ) -> None:
        """Count tokens that both models read; ``group`` is a place in `GROUPS`."""
        if not len(of_base) == len(of_vlm) == len(group):
            raise ValueError(
                f"{len(of_base)} residuals of the base model, {len(of_vlm)} of the VLM, "
                f"{len(group)} groups: pass the same tokens."
            )
        codes = base.encoder.encode(of_base)
        there = base.parts(of_base, codes, codes.indices)
        here = vlm.parts(of_vlm, vlm.encoder.encode(of_vlm), codes.indices)
        fires = codes.values > 0
        slots = (group[:, None] * self.squares.shape[1] + codes.indices)[fires]
        a, there, here = (x[fires].double() for x in (codes.values, there, here))
        for sums, terms in (
            (self.squares, a * a),
            (self.base, a * there),
            (self.vlm, a * here),
            (self.vlm_squares, here * here),
        ):
            add_in_order(sums.view(-1), slots, terms)
        count(self.tokens.view(-1), slots)

    def merge(self, other: "ScalingSums") -> None:
        """Count what another one counted, of other tokens."""
        for mine, theirs in zip(self, other, strict=True):
            mine.add_(theirs)


class LatentScaling(NamedTuple):
    """By group and feature; NaN where the base feature fired on no token."""

    base: Float[Tensor, "group d_sae"]
    """beta in the base model: 1 where its dictionary accounts for it."""
    vlm: Float[Tensor, "group d_sae"]
    """beta in the VLM."""
    scale: Float[Tensor, "group d_sae"]
    """beta of the VLM over beta of the base."""
    standard_error: Float[Tensor, "group d_sae"]
    """Of scale, tokens taken as independent and beta of the base as known; NaN below 2 tokens."""


def latent_scaling(sums: ScalingSums) -> LatentScaling:
    """The least squares fits from their sums."""
    nan = torch.full_like(sums.squares, torch.nan)
    base = torch.where(sums.tokens > 0, sums.base / sums.squares, nan)
    vlm = torch.where(sums.tokens > 0, sums.vlm / sums.squares, nan)
    rest = (sums.vlm_squares - vlm * sums.vlm).clamp_min(0)
    error = (rest / (sums.tokens - 1) / sums.squares).sqrt()
    error = torch.where(sums.tokens > 1, error, nan)
    scale = torch.where(base > 0, vlm / base, nan)
    return LatentScaling(base, vlm, scale, torch.where(base > 0, error / base, nan))


def is_shrunk(scaling: LatentScaling, max_scale: float = 0.75) -> Bool[Tensor, "group d_sae"]:
    """Whether the VLM writes a feature that much less, the upper end of its interval included."""
    return scaling.scale + 1.96 * scaling.standard_error < max_scale
