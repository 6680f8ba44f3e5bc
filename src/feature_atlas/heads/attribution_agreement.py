"""How well attribution patching foretells real patching, head by head (paper 5.2, C).

The paper ranks heads by estimates of first order and shows no comparison. Here each estimate of a
run stands beside the exact effect of the same swap on the same samples. Within a layer: of features
of one layer, whose residuals are of one size, averaged over layers; over all, large layers weigh
more. Within a feature: among its own heads, which is what a ranking is for, averaged over features,
with an interval over samples drawn anew; each feature has its own as well.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from feature_atlas.heads.ranking_stability import first_heads, rank_correlation


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
    return _mean([agreement(pairs.only(pairs.layer == layer), n_top=n_top) for layer in layers])


def agreement_within_features(pairs: Pairs, *, n_top: int = 10) -> Agreement:
    """Of each feature's heads alone, and then the mean over features."""
    return _mean([agreement(of_one, n_top=n_top) for of_one in _by_feature(pairs)])


def _mean(each: Sequence[Agreement]) -> Agreement:
    known = ([value for value in column if value is not None] for column in zip(*each, strict=True))
    means = [float(np.mean(values)) if values else None for values in known]
    return Agreement(*means)  # type: ignore[arg-type]  # only correlations can be None


class SampledPairs(NamedTuple):
    """One feature's heads, sample by sample."""

    estimate: Float64[np.ndarray, "sample head"]
    """Above 0: the head drives the feature."""
    exact: Float64[np.ndarray, "sample head"]
    """Likewise, by real patching."""


class Ends(NamedTuple):
    """Of agreement over samples drawn anew: 95 % lie between low and high."""

    spearman_low: float
    """Lower end."""
    spearman_high: float
    """Upper end."""
    top_overlap_low: float
    """Lower end."""
    top_overlap_high: float
    """Upper end."""


def drawn_agreement(
    features: Sequence[SampledPairs], *, n_top: int = 10, n_draws: int = 500, seed: int = 0
) -> Float64[np.ndarray, "feature 2 draw"]:
    """Rank correlation and overlap of each feature's heads, its samples drawn anew by itself.

    Estimates and effects of one sample stay together.
    """
    random = np.random.default_rng(seed)
    return np.stack(
        [
            _ranked(one, random.integers(len(one.exact), size=(n_draws, len(one.exact))), n_top)
            for one in features
        ]
    )


def agreement_ends(found: Agreement, drawn: Float64[np.ndarray, "2 draw"]) -> Ends:
    """How far agreement hangs on the samples: of one feature, or of the mean over features.

    Draws have fewer different samples and so more noise, by which agreement near an end of its
    range may lie beyond nearly all of them: the interval then reaches to it.
    """
    own = np.array([np.nan if found.spearman is None else found.spearman, found.top_overlap])
    low, high = np.quantile(drawn, (0.025, 0.975), axis=1)
    low, high = np.fmin(low, own), np.fmax(high, own)
    return Ends(float(low[0]), float(high[0]), float(low[1]), float(high[1]))


def _ranked(
    one: SampledPairs, drawn: Int[np.ndarray, "draw sample"], n_top: int
) -> Float64[np.ndarray, "2 draw"]:
    """Rank correlation and overlap of the first heads, of means over the samples drawn."""
    estimate, exact = one.estimate[drawn].mean(1), one.exact[drawn].mean(1)
    n = min(n_top, exact.shape[1])
    chosen, truly = first_heads(estimate, n), first_heads(exact, n)
    overlap = (chosen[:, :, None] == truly[:, None, :]).any(2).mean(1)
    return np.stack([rank_correlation(estimate, exact), overlap])


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
