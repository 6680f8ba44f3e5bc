"""How sure a number is: odds ratios, intervals and tests (paper 4.3 and 5.3, which print none).

Plain numpy in float64 and vectorised: one call for a whole dictionary, never one per feature.
Counts may have any shapes that broadcast. A 2 x 2 table is passed row by row:

                 fired   silent
    skill split    a        b
    base split     c        d
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike
from scipy.special import bdtr, ndtr, ndtri

Numbers = Float64[np.ndarray, "..."]

# Draws of the bootstrap held at once: this many resampled clusters, 32 MB.
_RESAMPLED_AT_ONCE = 2**22


class Interval(NamedTuple):
    """Two ends with a stated chance of having the truth between them."""

    low: Numbers
    """The lower end."""
    high: Numbers
    """The upper end."""


def odds_ratio(a: ArrayLike, b: ArrayLike, c: ArrayLike, d: ArrayLike) -> Numbers:
    """Odds of firing in the skill split over those in the base split; above 1: more often in skill.

        OR = (a + 1/2)(d + 1/2) / ((b + 1/2)(c + 1/2))

    The Haldane-Anscombe half goes to every cell of every table, so that OR is finite, no feature is
    treated differently from its neighbour, and zeros need no special case. (statsmodels' Table2x2
    changes only the cells that are zero.)
    """
    a, b, c, d = _with_half(a, b, c, d)
    return (a * d) / (b * c)


def woolf_interval(
    a: ArrayLike, b: ArrayLike, c: ArrayLike, d: ArrayLike, *, confidence: float = 0.95
) -> Interval:
    """Interval of `odds_ratio`: exp(log OR -+ z SE), SE = sqrt(sum of 1 / (cell + 1/2)).

    It takes the counted things as independent. Tokens of one question are not: at token level it
    is too narrow, at question level about right.
    """
    log_ratio, error = _log_odds_ratio(a, b, c, d)
    reach = _normal_quantile(confidence) * error
    return Interval(np.exp(log_ratio - reach), np.exp(log_ratio + reach))


def bootstrap_odds_ratio_interval(
    a: ArrayLike,
    b: ArrayLike,
    c: ArrayLike,
    d: ArrayLike,
    replicates: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike],
    *,
    confidence: float = 0.95,
) -> Interval:
    """Interval of `odds_ratio` when the counted things come in clusters, as an image's tokens do.

        exp(log OR -+ z SE),   SE = the standard deviation of log OR over bootstrap replicates

    `replicates` are the four cells with one more axis, the last: counts with every cluster as often
    as the replicate drew it. A hundred tell a standard deviation well (to 7 %), but not the tails.
    The interval is never narrower than Woolf's: where a cell is 0, it is 0 in every replicate too,
    and they would agree on what nobody knows.
    """
    log_ratio, error = _log_odds_ratio(a, b, c, d)
    drawn, _ = _log_odds_ratio(*replicates)
    if drawn.shape[:-1] != log_ratio.shape or drawn.shape[-1] < 2:
        raise ValueError(
            f"replicates are {list(drawn.shape)}, counts {list(log_ratio.shape)}: pass the same "
            "counts with an axis of two or more replicates behind."
        )
    reach = _normal_quantile(confidence) * np.maximum(error, drawn.std(axis=-1, ddof=1))
    return Interval(np.exp(log_ratio - reach), np.exp(log_ratio + reach))


def odds_ratio_p_value(a: ArrayLike, b: ArrayLike, c: ArrayLike, d: ArrayLike) -> Numbers:
    """Two-sided Wald test of OR = 1: the chance of |log OR| / SE this large or larger under it."""
    log_ratio, error = _log_odds_ratio(a, b, c, d)
    return 2 * ndtr(-np.abs(log_ratio) / error)


def benjamini_hochberg(p_values: ArrayLike) -> Numbers:
    """q values: the false discovery rate at which each test would be accepted.

        q_(i) = min over j >= i of  p_(j) n / j      (p sorted upwards)

    The family is the whole array, of any shape: pass all features of all layers together.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():  # a NaN fails both
        bad = p[~((p >= 0) & (p <= 1))]
        raise ValueError(f"p values must lie in [0, 1]; {bad.size} do not, the first is {bad[0]}.")
    order = np.argsort(p, axis=None, kind="stable")
    scaled = p.ravel()[order] * p.size / np.arange(1, p.size + 1)
    q = np.empty(p.size)
    q[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return q.reshape(p.shape)


def mcnemar_exact(right_to_wrong: ArrayLike, wrong_to_right: ArrayLike) -> Numbers:
    """Two-sided exact McNemar test that an intervention flips answers both ways equally often.

        p = min(1, 2 P(X <= min(b, c))),   X ~ Binomial(b + c, 1/2)

    Answers that did not change carry no information. No flips at all: 1.
    """
    b, c = _counts(right_to_wrong=right_to_wrong, wrong_to_right=wrong_to_right)
    return np.minimum(1.0, 2 * bdtr(np.minimum(b, c), (b + c).astype(np.int64), 0.5))


def wilson_interval(
    successes: ArrayLike, trials: ArrayLike, *, confidence: float = 0.95
) -> Interval:
    """Interval of a share; stays inside [0, 1] and is honest near its ends. No trials: (0, 1)."""
    k, n = _counts(successes=successes, trials=trials)
    if (k > n).any():
        raise ValueError(f"{k[k > n][0]:.0f} successes in {n[k > n][0]:.0f} trials.")
    z2 = _normal_quantile(confidence) ** 2
    centre = (k + z2 / 2) / (n + z2)
    tried = np.maximum(n, 1)
    reach = np.sqrt(z2 * (k * (n - k) / tried + z2 / 4)) / (n + z2)
    # Exact at the ends, where rounding would leave the range.
    low = np.where(k == 0, 0.0, centre - reach)
    return Interval(low, np.where(k == n, 1.0, centre + reach))


def matthews_correlation(
    true_positive: ArrayLike,
    false_positive: ArrayLike,
    false_negative: ArrayLike,
    true_negative: ArrayLike,
) -> Numbers:
    """Correlation of prediction and truth, -1 to 1; 0 for a guesser that always says the same.

    MCC = (TP TN - FP FN) / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN))
    """
    tp, fp, fn, tn = _counts(
        true_positive=true_positive,
        false_positive=false_positive,
        false_negative=false_negative,
        true_negative=true_negative,
    )
    margins = np.sqrt((tp + fp) * (tp + fn)) * np.sqrt((tn + fp) * (tn + fn))
    return np.divide(tp * tn - fp * fn, margins, out=np.zeros_like(margins), where=margins > 0)


def clustered_bootstrap(
    values: ArrayLike,
    clusters: ArrayLike,
    *,
    n_draws: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of the mean of `values` [sample, ...] when samples share images.

    Whole clusters (images) are drawn with replacement, as many as there are. For a paired effect
    pass differences, after minus before. Columns are resampled together: give all features and
    controls measured on the same samples in one call, and the draws are made once.
    """
    sums, sizes = _cluster_sums(np.asarray(values, dtype=np.float64), np.asarray(clusters))
    random = np.random.default_rng(seed)
    n_clusters = len(sizes)
    means = np.empty((n_draws, sums.shape[1]))
    n_at_once = max(1, _RESAMPLED_AT_ONCE // n_clusters)
    for start in range(0, n_draws, n_at_once):
        weights = _resample(n_clusters, min(n_at_once, n_draws - start), random)
        means[start : start + n_at_once] = _drawn_sums(weights, sums) / (weights @ sizes)[:, None]
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail), axis=0)
    shape = np.shape(values)[1:]
    return Interval(low.reshape(shape), high.reshape(shape))


def clustered_difference(
    values: ArrayLike,
    clusters: ArrayLike,
    other_values: ArrayLike,
    other_clusters: ArrayLike,
    *,
    n_draws: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of mean(values) - mean(other_values), of two sets that share images.

    Images of both sets are drawn together: one that is in both counts in both. Values are
    [sample, column] and [other sample, column].
    """
    first, second = np.asarray(values, np.float64), np.asarray(other_values, np.float64)
    n, both = len(first), np.concatenate([np.asarray(clusters), np.asarray(other_clusters)])
    # each set's sums stand beside its own sizes, and are zero on images of the other set alone
    padded = np.zeros((len(both), 2, first.shape[1] + 1))
    padded[:n, 0, :-1], padded[:n, 0, -1] = first, 1
    padded[n:, 1, :-1], padded[n:, 1, -1] = second, 1
    sums, _ = _cluster_sums(padded, both)
    random, parts = np.random.default_rng(seed), []
    n_at_once = max(1, _RESAMPLED_AT_ONCE // len(sums))
    for start in range(0, n_draws, n_at_once):
        weights = _resample(len(sums), min(n_at_once, n_draws - start), random)
        drawn = _drawn_sums(weights, sums).reshape(len(weights), 2, -1)
        drawn = drawn[(drawn[:, :, -1] > 0).all(1)]  # a draw without any of a set says nothing
        means = drawn[:, :, :-1] / drawn[:, :, -1:]
        parts.append(means[:, 0] - means[:, 1])
    tail = (1 - confidence) / 2
    return Interval(*np.quantile(np.concatenate(parts), (tail, 1 - tail), axis=0))


def clustered_ratio(
    part: ArrayLike,
    whole: ArrayLike,
    clusters: ArrayLike,
    *,
    n_draws: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Percentile interval of mean(part) / mean(whole), two numbers of each sample.

    None where the interval of mean(whole) holds 0: the ratio may then be anything.
    """
    pairs = np.stack([np.asarray(part, np.float64), np.asarray(whole, np.float64)], axis=1)
    sums, _ = _cluster_sums(pairs, np.asarray(clusters))
    weights = _resample(len(sums), n_draws, np.random.default_rng(seed))
    above, below = _drawn_sums(weights, sums).T
    ends = ((1 - confidence) / 2, (1 + confidence) / 2)
    low, high = np.quantile(below, ends)
    if low <= 0 <= high:
        return None
    drawn = np.quantile(above[below != 0] / below[below != 0], ends)
    return float(drawn[0]), float(drawn[1])


def _cluster_sums(
    values: Float64[np.ndarray, "sample ..."], clusters: np.ndarray
) -> tuple[Float64[np.ndarray, "cluster column"], Float64[np.ndarray, " cluster"]]:
    """Sum of each column, and number of samples, per cluster."""
    if clusters.shape != values.shape[:1]:
        raise ValueError(
            f"values are {list(values.shape)}, clusters {list(clusters.shape)}: "
            "pass one cluster (image) id per sample."
        )
    if not np.isfinite(values).all():
        raise ValueError("values hold NaN or inf: leave out samples that were not measured.")
    names, of_sample = np.unique(clusters, return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            f"{len(values)} samples in {len(names)} cluster(s): a spread between clusters needs "
            "at least 2. Evaluate on more images."
        )
    sums = np.zeros((len(names), values[0].size))
    np.add.at(sums, of_sample, values.reshape(len(values), -1))
    return sums, np.bincount(of_sample).astype(np.float64)


def _resample(
    n_clusters: int, n_draws: int, random: np.random.Generator
) -> Float64[np.ndarray, "draw cluster"]:
    """How often each cluster is drawn: rows of a multinomial, by counting (10 x its speed)."""
    drawn: Int64[np.ndarray, "draw cluster"] = random.integers(
        n_clusters, size=(n_draws, n_clusters)
    )
    drawn += np.arange(n_draws)[:, None] * n_clusters
    counts = np.bincount(drawn.ravel(), minlength=n_draws * n_clusters)
    return counts.reshape(n_draws, n_clusters).astype(np.float64)


def _drawn_sums(
    weights: Float64[np.ndarray, "draw cluster"], sums: Float64[np.ndarray, "cluster column"]
) -> Float64[np.ndarray, "draw column"]:
    """Sum of each column in each draw, to the last bit whatever other columns there are.

    A BLAS product is not: it adds in another order where columns are fewer.
    """
    return np.einsum("dc,cf->df", weights, sums, optimize=False)


def _log_odds_ratio(
    a: ArrayLike, b: ArrayLike, c: ArrayLike, d: ArrayLike
) -> tuple[Numbers, Numbers]:
    """log OR and its standard error."""
    a, b, c, d = _with_half(a, b, c, d)
    return np.log(a) - np.log(b) - np.log(c) + np.log(d), np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)


def _with_half(a: ArrayLike, b: ArrayLike, c: ArrayLike, d: ArrayLike) -> list[Numbers]:
    return [cell + 0.5 for cell in _counts(a=a, b=b, c=c, d=d)]


def _counts(**named: ArrayLike) -> list[Numbers]:
    """As float64, refusing what no count can be."""
    counts = [np.asarray(values, dtype=np.float64) for values in named.values()]
    for name, values in zip(named, counts, strict=True):
        if not (values >= 0).all():  # a NaN fails
            raise ValueError(
                f"{name} must be counts (0 or more); the smallest is {np.min(values)}. "
                "A silent count is the total less the fired one: was the total too small?"
            )
    return counts


def _normal_quantile(confidence: float) -> float:
    """1.96 for 0.95."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}; usual is 0.95.")
    return float(ndtri((1 + confidence) / 2))
