"""Mix the tokens of many prompts into training batches (paper 4.1).

The order is that of SAELens' ``mixing_buffer``: tokens wait until there are enough, are shuffled,
and all but half a buffer of them are served. SAELens' mixes the tokens themselves, and what waits
would be a part of a training's state. This one mixes their numbers: the order is known before the
first token is read, so that a training can go on at any step.
"""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Int
from torch import Tensor


def mixed_batches(
    passes: Iterable[Int[Tensor, " token"]], capacity: int, batch_size: int, seed: int
) -> Iterator[Int[Tensor, " batch"]]:
    """Batches of the tokens' numbers, which come pass by pass."""
    if capacity < batch_size:
        raise ValueError(
            f"a shuffle buffer of {capacity} tokens for batches of {batch_size}: expected room "
            "for at least one batch (adapt.buffer_size)."
        )
    generator = torch.Generator().manual_seed(seed)
    waiting: list[Tensor] = []
    for numbers in passes:
        waiting.append(numbers)
        n_waiting = sum(len(part) for part in waiting)
        if n_waiting < capacity:
            continue
        mixed = torch.cat(waiting)[torch.randperm(n_waiting, generator=generator)]
        n_served = batch_size * max(1, (n_waiting - capacity // 2) // batch_size)
        yield from mixed[:n_served].split(batch_size)
        waiting = [mixed[n_served:]]


def n_tokens_for(n_served: int, capacity: int, batch_size: int) -> int:
    """With so many tokens in all, at least ``n_served`` are served: the rest may still wait.

    After serving, fewer wait than half a buffer and a batch; before, fewer than a buffer.
    """
    return n_served + capacity + batch_size
