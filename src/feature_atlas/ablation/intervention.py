"""What can be done to a layer's output at the text positions (paper 5.3, and beyond it).

    directional   y - (y . v) v            v unit: the paper's, whether the feature fires or not
    to_mean       y - (y . v - m) v        m the mean of y . v: takes what differs from it
    subtraction   y - a_f d_f / (|d_f| s)  only where feature f fires, what it adds there
    span_removal  y - Q Q' y               Q orthonormal: several directions at once
    scaled        y - c (y . u) u          a random u, as much variance as another direction's
    addition      y + c v                  steering, the mirror of an ablation

An edit returns a new tensor, in which all other positions are bit-identical.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from feature_atlas.dictionary.sae import Encoder, Sae, unit_directions

Edit = Callable[
    [Float[Tensor, "batch token d_model"], Bool[Tensor, "batch token"]],
    Float[Tensor, "batch token d_model"],
]
"""Takes a layer's output and where text is; returns what goes on instead."""

Change = Callable[[Float[Tensor, "position d_model"]], Float[Tensor, "position d_model"]]


def directional(direction: Float[Tensor, " d_model"]) -> Edit:
    """Orthogonal to the unit direction at text positions."""
    return scaled(direction, 1.0)


def scaled(direction: Float[Tensor, " d_model"], factor: float) -> Edit:
    """`factor` times the part along the unit direction is taken; 1 takes it, 2 mirrors it."""
    _require_unit(direction)

    def change(y: Tensor) -> Tensor:
        v = direction.to(y)
        return -factor * (y @ v).unsqueeze(-1) * v

    return _at_text(change)


def to_mean(direction: Float[Tensor, " d_model"], mean: float) -> Edit:
    """The part along the unit direction becomes `mean` (raw residual units) at every position."""
    _require_unit(direction)

    def change(y: Tensor) -> Tensor:
        v = direction.to(y)
        return (mean - (y @ v)).unsqueeze(-1) * v

    return _at_text(change)


def subtraction(sae: Sae, encoder: Encoder, feature: int) -> Edit:
    """What the feature adds to the reconstruction is taken away where it fires.

    ``encoder`` is ``Encoder.of(sae)``, made once for all features.
    """
    written = unit_directions(sae)[feature] / sae.scale

    def change(y: Tensor) -> Tensor:
        codes = encoder.encode(y)
        activation = torch.where(codes.indices == feature, codes.values, 0).sum(-1)
        return (-activation.unsqueeze(-1) * written).to(y)

    return _at_text(change)


def span_removal(directions: Float[Tensor, "direction d_model"]) -> Edit:
    """Orthogonal to every one of the directions: what one after another would not give.

    Taking v and then w leaves some of v again unless they are orthogonal.
    """
    basis = orthonormal_basis(directions)

    def change(y: Tensor) -> Tensor:
        q = basis.to(y)
        return -(y @ q.T) @ q

    return _at_text(change)


def orthonormal_basis(
    directions: Float[Tensor, "direction d_model"],
) -> Float[Tensor, "rank d_model"]:
    """Orthonormal rows with the same span; zero rows and repeated directions add none."""
    if len(directions) == 0:
        raise ValueError("no directions: expected at least one to take away.")
    exact = directions.double()
    _, sizes, rows = torch.linalg.svd(exact, full_matrices=False)
    is_there = sizes > 1e-6 * sizes.max().clamp_min(1e-12)
    return rows[is_there].to(directions.dtype)


def addition(direction: Float[Tensor, " d_model"], length: float) -> Edit:
    """`length` (raw residual units) of the unit direction is added at every text position."""
    _require_unit(direction)
    return _at_text(lambda y: (length * direction).to(y).expand_as(y))


def _at_text(change: Change) -> Edit:
    def edit(hidden: Tensor, text_mask: Tensor) -> Tensor:
        edited, text = hidden.clone(), hidden[text_mask]
        edited[text_mask] = text + change(text)
        return edited

    return edit


def _require_unit(direction: Float[Tensor, " d_model"]) -> None:
    """Unit, or zero (a dead decoder row), which removes nothing."""
    norm = float(direction.norm())
    if norm != 0 and abs(norm - 1) > 1e-3:
        raise ValueError(
            f"direction of length {norm:.4g}, expected 1: pass a row of sae.unit_directions(sae)."
        )
