"""How well attribution patching foretells real patching, head by head (paper 5.2, C).

The paper ranks heads by estimates of first order and shows no comparison. Here each estimate of a
run stands beside the exact effect of the same swap on the same samples. Within a layer: of features
of one layer, whose residuals are of one size, averaged over layers; over all, large layers weigh
more.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int


class Agreement(NamedTuple):
    """Estimates beside exact effects; columns of table attribution_agreement."""

    pearson: float | None
    """Correlation of the numbers; None where one side is constant."""
    spearman: float | None
    """Correlation of their ranks."""
    sign_agreement: float
    """Share of pairs of one sign, or both zero."""
    top_overlap: float
    """Of a feature's strongest heads by exact effect, the share among its strongest by estimate."""
    top_overlap_by_chance: float
    """The same of heads ranked by lot: n_top over the number of heads."""


class Pairs(NamedTuple):
    """One number per feature and head, in common order."""

    layer: Int[np.ndarray, " pair"]
    """Of the feature."""
    feature: Int[np.ndarray, " pair"]
    """Its number within the layer."""
    estimate: Float64[np.ndarray, " pair"]
    """Above 0: the head drives the feature."""
    exact: Float64[np.ndarray, " pair"]
    """Likewise, by real patching."""

    def only(self, keep: np.ndarray) -> "Pairs":
        """Some of them."""
        return Pairs(*(column[keep] for column in self))


def agreement(pairs: Pairs, *, n_top: int = 10) -> Agreement:
    """Over all (feature, head) pairs together; overlaps are means over features."""
    same = np.sign(pairs.estimate) == np.sign(pairs.exact)
    overlaps = [_overlap(of_one, n_top) for of_one in _by_feature(pairs)]
    chances = [min(1.0, n_top / len(of_one.exact)) for of_one in _by_feature(pairs)]
    return Agreement(
        pearson=_pearson(pairs.estimate, pairs.exact),
        spearman=_pearson(_ranks(pairs.estimate), _ranks(pairs.exact)),
        sign_agreement=float(same.mean()),
        top_overlap=float(np.mean(overlaps)),
        top_overlap_by_chance=float(np.mean(chances)),
    )


def agreement_within_layers(pairs: Pairs, *, n_top: int = 10) -> Agreement:
    """Of each layer's features alone, and then the mean over layers."""
    layers = np.unique(pairs.layer)
    each = [agreement(pairs.only(pairs.layer == layer), n_top=n_top) for layer in layers]
    known = ([value for value in column if value is not None] for column in zip(*each, strict=True))
    means = [float(np.mean(values)) if values else None for values in known]
    return Agreement(*means)  # type: ignore[arg-type]  # only correlations can be None


def _by_feature(pairs: Pairs) -> list[Pairs]:
    names = np.unique(np.stack([pairs.layer, pairs.feature]), axis=1).T
    return [pairs.only((pairs.layer == at) & (pairs.feature == f)) for at, f in names]


def _overlap(of_one: Pairs, n_top: int) -> float:
    n = min(n_top, len(of_one.exact))
    by_estimate, by_exact = (
        set(np.argsort(-values, kind="stable")[:n].tolist())
        for values in (of_one.estimate, of_one.exact)
    )
    return len(by_estimate & by_exact) / n


def _pearson(a: Float64[np.ndarray, " pair"], b: Float64[np.ndarray, " pair"]) -> float | None:
    a, b = a - a.mean(), b - b.mean()
    lengths = np.sqrt((a @ a) * (b @ b))
    return float(np.clip((a @ b) / lengths, -1, 1)) if lengths > 0 else None


def _ranks(values: Float64[np.ndarray, " pair"]) -> Float64[np.ndarray, " pair"]:
    """1 for the smallest; equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks: Float64[np.ndarray, " pair"] = (last - (counts - 1) / 2)[place]
    return ranks
