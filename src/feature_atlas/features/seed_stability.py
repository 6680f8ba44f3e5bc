"""Do the same features turn again, when the data come in another order (beside paper 4.1, 4.2)?

The regime text and its controls are trained several times from the same start (`adapt.seeds`), and
each seed is judged by the rules of the first. What comes back is not chance; that it means anything
does not follow: how often a feature fires does not depend on the order either, and features that
fire rarely turn far in every one of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

Members = Bool[np.ndarray, "layer d_sae"]


class CosineSpread(NamedTuple):
    """The cosine of every feature over seeds."""

    mean: Float32[np.ndarray, "layer d_sae"]
    deviation: Float32[np.ndarray, "layer d_sae"]
    """Standard deviation of one seed, estimated from all (n - 1)."""
    low: Float32[np.ndarray, "layer d_sae"]
    """Of the seed that turned it furthest."""
    high: Float32[np.ndarray, "layer d_sae"]
    """Of the seed that turned it least."""


class Reproduction(NamedTuple):
    """How much of the first seed's set comes back: for 1, 2, ... seeds, the first among them."""

    n_features: Int64[np.ndarray, " seed"]
    """Features of the set that are in it in at least so many seeds."""
    share: Float64[np.ndarray, " seed"]
    """Of the first seed's set; NaN where that is empty."""
    share_by_chance: Float64[np.ndarray, " seed"]
    """The share if every other seed drew its set, of its own size, blindly from all features."""


def cosine_spread(cosines: Sequence[Float[np.ndarray, "layer d_sae"]]) -> CosineSpread:
    """From the cosines of at least two seeds, -1 to 1; no spread is 0."""
    _require_seeds(len(cosines))
    every = np.stack(cosines).astype(np.float64)
    found = (every.mean(0), every.std(0, ddof=1), every.min(0), every.max(0))
    return CosineSpread(*(values.astype(np.float32) for values in found))


def reproduction(members: Sequence[Members], also: Members | None = None) -> Reproduction:
    """How often the first seed's members are found again, from the members of each seed.

    ``also`` narrows the first seed's set to those that meet a further condition, which is not
    measured of the other seeds; what is counted in these is the set without that condition.
    """
    _require_seeds(len(members))
    first = members[0] if also is None else members[0] & also
    n_found = np.sum(members, axis=0)[first]
    at_least = np.arange(1, len(members) + 1)
    n_features = (n_found[:, None] >= at_least).sum(0)
    n_first = first.sum()
    share = n_features / n_first if n_first else np.full(len(members), np.nan)
    chances = [float(other.mean()) for other in members[1:]]
    return Reproduction(n_features, share, _at_least(chances))


def _at_least(chances: Sequence[float]) -> Float64[np.ndarray, " seed"]:
    """Chance that 0, 1, ... all of some independent events happen, or more."""
    exactly = np.ones(1)
    for chance in chances:
        exactly = np.convolve(exactly, (1 - chance, chance))
    return exactly[::-1].cumsum()[::-1]


def _require_seeds(n: int) -> None:
    if n < 2:
        raise ValueError(
            f"{n} seed(s): expected at least two (adapt.seeds), or nothing can come back."
        )
