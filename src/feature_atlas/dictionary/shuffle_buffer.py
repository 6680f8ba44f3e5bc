"""Mix the tokens of many prompts into training batches, resumably (paper 4.1).

The order is that of SAELens' ``mixing_buffer``: tokens wait until there are enough, are shuffled,
and all but half a buffer of them are served. SAELens' is a generator, whose state cannot be kept;
this one's is its waiting tokens and its random state. Tokens wait as they come from the model, so
that a bfloat16 model needs half the memory.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Rows = Mapping[int, Float[Tensor, "token d_model"]]
"""Residuals of the same tokens at several layers."""


class ShuffleBuffer:
    """Tokens that wait to be mixed; all layers share one order, so that they stay aligned."""

    def __init__(self, capacity: int, batch_size: int, seed: int) -> None:
        if capacity < batch_size:
            raise ValueError(
                f"a shuffle buffer of {capacity} tokens for batches of {batch_size}: expected room "
                "for at least one batch (adapt.buffer_size)."
            )
        self.capacity, self.batch_size = capacity, batch_size
        self.generator = torch.Generator().manual_seed(seed)
        self.waiting: list[Rows] = []

    def add(self, rows: Rows) -> list[dict[int, Tensor]]:
        """Take tokens; the batches that are ready now, none while the buffer fills."""
        self.waiting.append(rows)
        n_rows = sum(_length(part) for part in self.waiting)
        if n_rows < self.capacity:
            return []
        order = torch.randperm(n_rows, generator=self.generator)
        n_batches = max(1, (n_rows - self.capacity // 2) // self.batch_size)
        n_served = n_batches * self.batch_size
        mixed = {layer: self._joined(layer)[order.to(x.device)] for layer, x in rows.items()}
        self.waiting = [{layer: x[n_served:].clone() for layer, x in mixed.items()}]
        return [
            {layer: x[i : i + self.batch_size] for layer, x in mixed.items()}
            for i in range(0, n_served, self.batch_size)
        ]

    def clear(self) -> None:
        """Let go of the tokens that wait."""
        self.waiting = []

    def state(self) -> dict[str, Any]:
        """What `restore` needs to serve the same batches."""
        layers = self.waiting[0] if self.waiting else {}
        waiting = {layer: self._joined(layer) for layer in layers}
        return {"waiting": waiting, "random": self.generator.get_state()}

    def restore(self, state: Mapping[str, Any], device: str) -> None:
        """Go on from a kept state."""
        waiting = {layer: x.to(device) for layer, x in state["waiting"].items()}
        self.waiting = [waiting] if waiting else []
        self.generator.set_state(state["random"])

    def _joined(self, layer: int) -> Tensor:
        return torch.cat([part[layer] for part in self.waiting])


def _length(rows: Rows) -> int:
    return len(next(iter(rows.values())))
