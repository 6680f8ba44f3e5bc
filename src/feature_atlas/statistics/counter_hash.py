"""Random numbers without a state: a hash of counters (splitmix64's finaliser, once per counter).

The same counters give the same number at any time and on any device, so a draw made by hash does
not depend on how a stream was cut into batches. Used by `bootstrap_weights` and `example`.
"""

import torch
from jaxtyping import Int
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
"""2^64 divided by the golden ratio: splitmix64's step from one counter to the next."""


def counter_hash(seed: int, *counters: Int[Tensor, "*#shape"]) -> Int[Tensor, "*shape"]:
    """64 bits, as a signed integer, that look drawn anew for every (seed, counter, counter, ...).

    Counters are whole numbers whose shapes broadcast; multiplication wraps at 64 bits.
    """
    mixed = _mixed(torch.tensor(_signed(seed), device=counters[0].device))
    for counter in counters:
        mixed = _mixed(mixed + _signed(_GOLDEN) * (counter.long() + 1))
    return mixed


def logical_shift(x: Int[Tensor, "*shape"], n_bits: int) -> Int[Tensor, "*shape"]:
    """Shift right, zeros coming in (torch shifts signed integers arithmetically)."""
    return (x >> n_bits) & ((1 << (64 - n_bits)) - 1)


def _mixed(x: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Every bit of the result hangs on every bit of x."""
    x = (x ^ logical_shift(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ logical_shift(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ logical_shift(x, 31)


def _signed(x: int) -> int:
    """The lowest 64 bits as a signed integer."""
    x &= 0xFFFFFFFFFFFFFFFF
    return x - (1 << 64) if x >= 1 << 63 else x
