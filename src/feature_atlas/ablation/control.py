"""What to ablate beside the feature in question (paper 5.3, D).

Matched controls are of the same layer, fire as often, and the residual holds as much of their
direction. The paper's own, features drawn uniformly, are mostly silent, so that removing them can
hardly show anything; and random directions tell what any loss of as much variance does.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


class Controls(NamedTuple):
    """Features to ablate beside the one in question."""

    features: list[int]
    """Drawn at random, in the order drawn; fewer than asked for if the layer has no more."""
    tolerance: float
    """Largest ratio, less 1, at which firing rate and projection were called equal."""
    is_widened: bool
    """Whether that is more than was asked for, since too few matched."""


def mean_projection(
    residual: Float[Tensor, "token d_model"], directions: Float[Tensor, "feature d_model"]
) -> Float[Tensor, " feature"]:
    """Mean |y . v| of each direction over tokens: how much of the residual its ablation takes."""
    return (residual.float() @ directions.float().T).abs().mean(0)


def matched_controls(
    firing_rate: Float[np.ndarray, " feature"],
    projection: Float[np.ndarray, " feature"],
    feature: int,
    *,
    n: int = 20,
    seed: int = 0,
    tolerance: float = 0.25,
    exclude: Collection[int] = (),
) -> Controls:
    """n features of the layer whose firing rate and mean |y . v| are those of ``feature``, nearly.

    A ratio of either, the larger over the smaller, may be up to 1 + tolerance; the tolerance
    doubles until n match or every living feature does. ``tolerance=math.inf``: any living feature,
    the paper's control.
    """
    rate, size = np.asarray(firing_rate, float), np.asarray(projection, float)
    if rate.shape != size.shape or not 0 <= feature < len(rate):
        raise ValueError(
            f"firing rates of {list(rate.shape)} features, projections of {list(size.shape)}, "
            f"feature {feature}: expected one of each per feature of the layer, it among them."
        )
    living = (rate > 0) & (size > 0)
    if not living[feature]:
        raise ValueError(f"feature {feature} never fires here, so nothing can be matched to it.")
    allowed = living & ~np.isin(np.arange(len(rate)), [feature, *exclude])
    distance = np.full(len(rate), np.inf)
    distance[allowed] = (
        np.maximum(_ratio(rate[allowed], rate[feature]), _ratio(size[allowed], size[feature])) - 1
    )
    asked = tolerance
    while (distance <= tolerance).sum() < min(n, allowed.sum()):
        tolerance *= 2
    pool = np.flatnonzero(allowed & (distance <= tolerance))
    drawn = np.random.default_rng(seed).permutation(pool)[:n]
    return Controls(drawn.tolist(), tolerance, is_widened=tolerance > asked)


def random_controls(
    d_sae: int, *, n: int, seed: int = 0, exclude: Collection[int] = ()
) -> list[int]:
    """n features of the layer drawn uniformly, dead ones too: the paper's control."""
    pool = np.setdiff1d(np.arange(d_sae), list(exclude))
    return np.random.default_rng(seed).permutation(pool)[:n].tolist()


def random_directions(d_model: int, *, n: int, seed: int = 0) -> Float[Tensor, "n d_model"]:
    """n unit vectors, every direction as likely as any other."""
    drawn = torch.randn(n, d_model, generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.norm(dim=-1, keepdim=True)


def variance_factor(
    residual: Float[Tensor, "token d_model"],
    direction: Float[Tensor, " d_model"],
    other: Float[Tensor, " d_model"],
) -> float:
    """c such that c (y . other) has the mean square of (y . direction): as much is removed."""
    wanted = (residual.float() @ direction.float()).square().mean()
    found = (residual.float() @ other.float()).square().mean()
    return float((wanted / found.clamp_min(1e-24)).sqrt())


def control_p_value(effect: float, of_controls: Float[np.ndarray, " control"]) -> float:
    """Share of controls that do as much harm or more, the feature counted among them.

    (1 + number of controls with an effect of ``effect`` or below) / (1 + number of controls): the
    one-sided p value if feature and controls came from one distribution.
    """
    n_as_bad = int((np.asarray(of_controls) <= effect).sum())
    return (1 + n_as_bad) / (1 + len(of_controls))


def _ratio(values: Float[np.ndarray, " feature"], value: float) -> Float[np.ndarray, " feature"]:
    """The larger over the smaller: 1 when equal."""
    return np.maximum(values / value, value / values)
