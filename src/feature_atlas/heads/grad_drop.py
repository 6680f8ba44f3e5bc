"""Estimates that survive cancellation: GradDrop (beside paper 5.2, C; Kramar et al. 2024, 3.1.2).

A head may drive a feature by several ways that cancel in the gradient, and not in a real swap,
where saturation leaves one of them out. With the residual write of one layer dropped, y = x +
write(x) has the gradient of x alone, and what went through that layer no longer cancels:

    GradDrop = sign(score) / (n_layers - 1) * sum over layers m of |score with layer m dropped|

n_layers being those up to the feature's. A head's own layer dropped leaves it nothing, hence minus
1. The size is AtP*'s; it has no sign, so the undropped score's is lent to it, and numbers stand
beside real effects. It costs one backward pass per layer more, and no forward pass.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from feature_atlas.heads.head_attribution import (
    CleanAndCorruptRuns,
    SwapScores,
    first_order,
    head_scores,
)
from feature_atlas.vlm.residual_stream import decoder_layers, hidden_of


class Drop:
    """Which layer's write passes no gradient; read in backward passes, so it may change between."""

    layer: int | None = None


@contextmanager
def droppable_writes(model: PreTrainedModel) -> Iterator[Drop]:
    """Let backward passes through what runs within leave one layer's write out, or none."""
    drop = Drop()

    def hook(number: int) -> Any:
        def switched(
            _layer: nn.Module, given: tuple[Tensor, ...], named: dict[str, Any], output: Tensor
        ) -> Tensor:
            before = given[0] if given else named["hidden_states"]
            return _Switch.apply(before, hidden_of(output), drop, number)

        return switched

    handles = [
        layer.register_forward_hook(hook(number), with_kwargs=True)
        for number, layer in enumerate(decoder_layers(model))
    ]
    try:
        yield drop
    finally:
        for handle in handles:
            handle.remove()


class _Switch(torch.autograd.Function):
    """A layer's output; its gradient goes to all that made it, or to the layer's input alone."""

    @staticmethod
    def forward(ctx: Any, before: Tensor, output: Tensor, drop: Drop, number: int) -> Tensor:
        ctx.drop, ctx.number = drop, number
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        if ctx.drop.layer == ctx.number:
            return gradient, torch.zeros_like(gradient), None, None
        return None, gradient, None, None


def dropped_scores(
    both: CleanAndCorruptRuns,
    drop: Drop,
    positions: Bool[Tensor, "batch token"] | Bool[Tensor, "feature batch token"],
    layer: int,
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
) -> SwapScores:
    """GradDrop of runs that were made within `droppable_writes`, still open."""
    plain = first_order(head_scores(both, positions, layer, directions))
    each = []
    for dropped in range(layer + 1):
        drop.layer = dropped
        each.append(first_order(head_scores(both, positions, layer, directions)))
    drop.layer = None
    return grad_drop(plain, each)


def grad_drop(plain: SwapScores, each: Sequence[SwapScores]) -> SwapScores:
    """The mean size over dropped layers, a head's own aside; with one layer nothing can cancel."""
    if len(each) == 1:
        return plain
    sizes = [torch.stack(part).abs().sum(0) / (len(each) - 1) for part in zip(*each, strict=True)]
    signed = [part.sign() * size for part, size in zip(plain, sizes, strict=True)]
    return SwapScores(*signed)
