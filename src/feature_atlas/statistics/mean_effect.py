"""Whether an effect measured on a few samples is there at all: Student's t (paper 5.2, C).

    t = mean / (s / sqrt(n)),    s: standard deviation over n samples, n - 1 degrees of freedom

For effects of exact patches, of which there are eight or so per head.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.special import stdtr, stdtrit


class MeanEffect(NamedTuple):
    """An effect over its samples."""

    mean: Float64[np.ndarray, "*rest"]
    """Over the samples."""
    standard_error: Float64[np.ndarray, "*rest"]
    """Of the mean."""
    low: Float64[np.ndarray, "*rest"]
    """Lower end of its 95 % interval."""
    high: Float64[np.ndarray, "*rest"]
    """Upper end."""
    p_value: Float64[np.ndarray, "*rest"]
    """Two-sided, of no effect; 1 where every sample's effect is 0."""


def mean_effect(effects: Float64[np.ndarray, "sample *rest"]) -> MeanEffect:
    """Mean over samples with its t interval and test."""
    effects = np.asarray(effects, dtype=np.float64)
    n = len(effects)
    if n < 2:
        raise ValueError(f"effects of {n} sample(s), expected 2 or more: a spread needs them.")
    mean = effects.mean(0)
    error = effects.std(0, ddof=1) / np.sqrt(n)
    reach = stdtrit(n - 1, 0.975) * error
    # no spread at all: certain that there is an effect, or that there is none
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(mean == 0, 0.0, np.abs(mean) / error)
    return MeanEffect(mean, error, mean - reach, mean + reach, 2 * stdtr(n - 1, -t))
