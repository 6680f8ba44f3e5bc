"""One training loop for both stages: Muon on the matrices, AdamW on the rest, a cosine schedule."""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from feature_atlas.toy.packing import Packed

MATRIX_RATE = 0.02
OTHER_RATE = 2e-3
WARM_UP = 60
FINAL_SHARE = 0.02
MAX_GRADIENT_NORM = 1.0


def learn(
    model: nn.Module, next_loss: Callable[[], Float[Tensor, ""]], n_steps: int, rate: float = 1.0
) -> Iterator[float]:
    """Train; yields the loss of each step, so that the caller shows progress and may stop.

    `rate` scales both learning rates.
    """
    optimisers = _optimisers(model, rate)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _share(step, n_steps))
        for optimiser in optimisers
    ]
    for _ in range(n_steps):
        loss = next_loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            optimiser.step()
            schedule.step()
            optimiser.zero_grad(set_to_none=True)
        yield loss.item()


def weighted_loss(
    hidden: Float[Tensor, "batch token d_model"], head: nn.Module, packed: Packed
) -> Float[Tensor, ""]:
    """Weighted mean cross-entropy of each token given the hidden state before it."""
    weights = packed.weights[:, 1:]
    counts = weights > 0
    logits = head(hidden[:, :-1][counts])
    surprise = F.cross_entropy(logits, packed.tokens[:, 1:][counts], reduction="none")
    return (surprise * weights[counts]).sum() / weights.sum()


def _share(step: int, n_steps: int) -> float:
    """Share of the full learning rate: linear warm-up, then a cosine down to 2 %."""
    warm_up = min(WARM_UP, n_steps // 4 + 1)
    if step < warm_up:
        return (step + 1) / warm_up
    done = (step - warm_up) / max(1, n_steps - warm_up)
    return FINAL_SHARE + (1 - FINAL_SHARE) * (1 + math.cos(math.pi * done)) / 2


def _optimisers(model: nn.Module, rate: float) -> list[Optimizer]:
    """Muon wants weight matrices only; embeddings, norms and biases go to AdamW."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for name, p in trained if _is_matrix(name, p)]
    others = [p for name, p in trained if not _is_matrix(name, p)]
    return [
        Muon(matrices, lr=rate * MATRIX_RATE, weight_decay=0.0, momentum=0.95),
        AdamW(others, lr=rate * OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2 and "embed" not in name and "lm_head" not in name
