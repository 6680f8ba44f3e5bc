"""A score of many features in a few numbers, to stand beside the same score of random features."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from feature_atlas.statistics.uncertainty import wilson_interval


class Summary(NamedTuple):
    """Over features; NaN where there are too few."""

    n: int
    """Features that have the score."""
    mean: float
    """Of a yes or no: the share of yes."""
    low: float
    """Lower end of the mean's 95 % interval: Student's, or Wilson's of a share. Features are taken
    as independent."""
    high: float
    """Upper end."""
    p5: float
    """Below it lie 5 % of the features."""
    p95: float
    """Above it lie 5 % of them: a single feature beats chance where it is higher."""


def summary(values: Float[np.ndarray, " feature"], *, confidence: float = 0.95) -> Summary:
    """Of numbers, or of yes and no as bool; missing ones (NaN) are left out."""
    is_share = values.dtype == bool
    found = values.astype(np.float64)
    found = found[~np.isnan(found)]
    n = len(found)
    if n == 0:
        return Summary(0, *[float("nan")] * 5)
    mean, nothing = float(found.mean()), float("nan")
    p5, p95 = (nothing, nothing) if is_share else np.quantile(found, (0.05, 0.95)).tolist()
    if is_share:
        low, high = wilson_interval(found.sum(), n, confidence=confidence)
        return Summary(n, mean, float(low), float(high), p5, p95)
    if n == 1:
        return Summary(n, mean, nothing, nothing, p5, p95)
    reach = student.ppf((1 + confidence) / 2, n - 1) * found.std(ddof=1) / n**0.5
    return Summary(n, mean, float(mean - reach), float(mean + reach), p5, p95)
