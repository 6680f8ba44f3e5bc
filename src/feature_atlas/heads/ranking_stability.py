"""Whether a ranking of heads is the samples' or the feature's (beside paper 5.2, C).

Attribution averages over a handful of samples; drawn anew they may rank other heads first (Meloux
et al. 2025), and so may the same questions in other words. Scores per sample are resampled with
replacement, in pairs that do not know of each other, or the same samples are asked in two wordings.
The two rankings are compared: the rank correlation over heads, and the overlap of their first heads
as intersection over union (Jaccard).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from scipy.stats import rankdata

Drives = Float64[np.ndarray, "sample head"]
"""Above 0: the head drives the feature."""


class Stability(NamedTuple):
    """How alike two rankings are, mean over pairs of them; 1: they are the same."""

    spearman: float
    """Rank correlation over all heads; 0 where all heads are alike."""
    jaccard: float
    """Of the first heads, those in both over those in either."""


def ranking_stability(drives: Drives, *, n_top: int, n_pairs: int, seed: int) -> Stability:
    """Of rankings from samples drawn anew."""
    n = len(drives)
    if n < 2:
        raise ValueError(f"drives of {n} sample, expected 2 or more: what is drawn anew varies.")
    drawn = np.random.default_rng(seed).integers(n, size=(2, n_pairs, n))
    return compared(*drives[drawn].mean(2), n_top=n_top)


def wording_stability(rankings: Float64[np.ndarray, "wording head"], *, n_top: int) -> Stability:
    """Of rankings by one question in several wordings, mean over all pairs of these."""
    n = len(rankings)
    if n < 2:
        raise ValueError(f"rankings by {n} wording, expected 2 or more: what is compared varies.")
    one, other = np.triu_indices(n, k=1)
    return compared(rankings[one], rankings[other], n_top=n_top)


def compared(
    one: Float64[np.ndarray, "pair head"], other: Float64[np.ndarray, "pair head"], *, n_top: int
) -> Stability:
    """Rankings with as many others."""
    n = min(n_top, one.shape[1])
    shared = (_is_first(one, n) & _is_first(other, n)).sum(1)
    jaccard = shared / (2 * n - shared)
    return Stability(float(rank_correlation(one, other).mean()), float(jaccard.mean()))


def rank_correlation(
    one: Float64[np.ndarray, "*pair head"], other: Float64[np.ndarray, "*pair head"]
) -> Float64[np.ndarray, "*pair"]:
    """Spearman's, along the last axis; equal values share their rank, and constants give 0."""
    a, b = (rankdata(x, axis=-1) - (x.shape[-1] + 1) / 2 for x in (one, other))
    lengths = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    found: Float64[np.ndarray, "*pair"] = (a * b).sum(-1) / np.where(lengths > 0, lengths, 1)
    return found.clip(-1, 1)


def first_heads(
    drives: Float64[np.ndarray, "*pair head"], n: int
) -> Int64[np.ndarray, "*pair first"]:
    """The n heads that drive most, of equal ones those that come first."""
    return np.argsort(-drives, axis=-1, kind="stable")[..., :n]


def _is_first(drives: Float64[np.ndarray, "pair head"], n: int) -> np.ndarray:
    found = np.zeros(drives.shape, dtype=bool)
    np.put_along_axis(found, first_heads(drives, n), True, axis=1)
    return found
