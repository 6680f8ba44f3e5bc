"""Selection: which features fine-tuning adapted, and which a skill recruits (paper 4.2 to A.4).

The adapted set A = {E_v > epsilon and c_f in the bottom 25 %}. Choices the paper leaves open:

- The percentile is global, over all features of all layers ("a globally defined set"), not per
  layer. A layer that turned little then gives few adapted features, which Fig. 7a is about.
- Features that were never updated (cosine exactly 1) are part of that base, but are never selected,
  even where more than 75 % were not updated and the percentile itself is 1.

A bottom quarter always exists, whatever turned the features. `turned_by_vision` is the part of the
adapted set that neither training alone nor the language of the questions explains.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from feature_atlas.features.firing_shift import FiringShift

EPSILON = 1e-3
COSINE_QUANTILE = 0.25
MAX_Q = 0.05
MIN_EXCESS = 0.05

LayerFeature = Float[np.ndarray, "layer d_sae"]
Selected = Bool[np.ndarray, "layer d_sae"]


def cosine_rank(cosine: LayerFeature) -> Float64[np.ndarray, "layer d_sae"]:
    """Share of all features, of all layers, that turned further: 0 is the one that turned most.

    Features with equal cosine share the rank of the first. "Bottom 25 %" is rank < 0.25.
    """
    _refuse_nan("cosine", cosine)
    return np.searchsorted(np.sort(cosine, axis=None), cosine, side="left") / cosine.size


def adapted_set(
    cosine: LayerFeature,
    energy: LayerFeature,
    *,
    epsilon: float = EPSILON,
    cosine_quantile: float = COSINE_QUANTILE,
) -> Selected:
    """The adapted features: energy above epsilon, and among the most turned (4.2)."""
    _require_same_features(cosine, energy)
    return _select(cosine, cosine_rank(cosine), energy, epsilon, cosine_quantile)


def beyond_null(
    excess_rotation: LayerFeature,
    rotation_q_value: LayerFeature,
    *,
    max_q: float = MAX_Q,
    min_excess: float = MIN_EXCESS,
) -> Selected:
    """Features that turned further than refitting explains: surely, and by enough to matter.

    Both arguments are those of `excess_rotation`. The floor is ours. With enough tokens every drift
    is significant, that of untouched features too: those that fire by interference are dragged
    along with the ones that turned. In planted worlds they stay mostly below 0.05, features turned
    by 20 degrees and more above.
    """
    _require_alike({"excess rotation": excess_rotation, "its q": rotation_q_value})
    if not 0 < max_q <= 1:
        raise ValueError(f"the largest q is a share above 0, to 1 (5 % is 0.05); got {max_q}.")
    _refuse_nan("excess_rotation", excess_rotation)
    _refuse_nan("rotation_q_value", rotation_q_value)
    return (rotation_q_value <= max_q) & (excess_rotation >= min_excess)


def turned_by_vision(
    adapted: Selected, is_beyond_null: Selected, is_beyond_language: Selected
) -> Selected:
    """Adapted features whose turn neither training alone nor language explains.

    adapted             `adapted_set`: it sees, and is among the most turned
    is_beyond_null      `beyond_null`: further than the refit null
    is_beyond_language  `turned_further` than the same feature did on the same questions unseen
    """
    _require_alike(
        {
            "adapted": adapted,
            "beyond the null": is_beyond_null,
            "beyond language": is_beyond_language,
        }
    )
    return adapted & is_beyond_null & is_beyond_language


def _require_alike(arrays: dict[str, np.ndarray]) -> None:
    shapes = [list(np.shape(array)) for array in arrays.values()]
    if shapes.count(shapes[0]) < len(shapes) or len(shapes[0]) != 2:
        raise ValueError(
            f"{', '.join(arrays)} are {shapes}: pass all as [layer, d_sae], with the same layers "
            "in the same order."
        )


class ThresholdSweep(NamedTuple):
    """Fig. 8: how the adapted set depends on its two thresholds."""

    n_selected: Int64[np.ndarray, "epsilon quantile"]
    """Size of the set."""
    jaccard: Float64[np.ndarray, "epsilon quantile"]
    """Overlap with the set at the chosen point: shared / in either; 1 if both are empty."""
    layer_correlation: Float64[np.ndarray, "epsilon quantile"]
    """Pearson correlation of features per layer with those at the chosen point.

    0 where either count is the same in every layer, so that no correlation is defined.
    """


def threshold_sweep(
    cosine: LayerFeature,
    energy: LayerFeature,
    epsilons: Sequence[float],
    cosine_quantiles: Sequence[float],
    *,
    chosen: tuple[float, float] = (EPSILON, COSINE_QUANTILE),
) -> ThresholdSweep:
    """Select at every pair of thresholds and compare with the chosen pair (A.4)."""
    _require_same_features(cosine, energy)
    rank = cosine_rank(cosine)
    reference = _select(cosine, rank, energy, *chosen)
    shape = (len(epsilons), len(cosine_quantiles))
    sweep = ThresholdSweep(np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape))
    for i, epsilon in enumerate(epsilons):
        for j, quantile in enumerate(cosine_quantiles):
            selected = _select(cosine, rank, energy, epsilon, quantile)
            sweep.n_selected[i, j] = selected.sum()
            sweep.jaccard[i, j] = _jaccard(selected, reference)
            sweep.layer_correlation[i, j] = _correlation(selected.sum(1), reference.sum(1))
    return sweep


def candidates(
    shift: FiringShift,
    *,
    min_delta_p: float = 0.0,
    min_odds_ratio: float = 1.5,
    min_fired: int = 20,
    max_q: float = 0.05,
) -> Bool[np.ndarray, " feature"]:
    """Features that a skill recruits: "meaningful delta_p and OR" (4.3), made definite.

    delta_p above its floor; the lower end of the token odds ratio's interval at or above its floor;
    at least `min_fired` firings in both splits together, below which an odds ratio is noise; and
    q, which is of the question-level test, at most `max_q`.
    """
    return (
        (shift.delta_p > min_delta_p)
        & (shift.odds_ratio_low >= min_odds_ratio)
        & (shift.fired_skill + shift.fired_base >= min_fired)
        & (shift.q_value <= max_q)
    )


def _select(
    cosine: LayerFeature, rank: LayerFeature, energy: LayerFeature, epsilon: float, quantile: float
) -> Selected:
    if not 0 <= quantile <= 1:
        raise ValueError(f"the cosine quantile is a share, 0 to 1 (25 % is 0.25); got {quantile}.")
    # in float64, as a database compares: the same set whatever the kind of either number
    return (energy.astype(np.float64) > float(epsilon)) & (rank < float(quantile)) & (cosine < 1)


def _jaccard(a: Selected, b: Selected) -> float:
    n_either = (a | b).sum()
    return float((a & b).sum() / n_either) if n_either else 1.0


def _correlation(a: Int64[np.ndarray, " layer"], b: Int64[np.ndarray, " layer"]) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _require_same_features(cosine: LayerFeature, energy: LayerFeature) -> None:
    if cosine.shape != energy.shape or cosine.ndim != 2:
        raise ValueError(
            f"cosine is {list(cosine.shape)}, energy {list(energy.shape)}: "
            "pass both as [layer, d_sae], with the same layers in the same order."
        )
    _refuse_nan("energy", energy)


def _refuse_nan(name: str, values: LayerFeature) -> None:
    if not values.size or np.isnan(values).any():
        raise ValueError(
            f"{name} has {int(np.isnan(values).sum())} NaN among {values.size} values: "
            "measure every feature of every layer before selecting."
        )
