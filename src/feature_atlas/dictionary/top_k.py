"""The k largest of many, exactly, without sorting all of them.

Split a row of n values into blocks. A value outside the k blocks of largest maximum has k values at
least as large as itself, the maxima of those blocks: the k largest lie in those blocks. One pass
finds the maxima; what is left to sort is n / width + k * width values instead of n.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Largest(NamedTuple):
    """The k largest values of every row."""

    values: Float[Tensor, "row k"]
    """Falling."""
    indices: Int[Tensor, "row k"]
    """Where they stand in the row; of values equal to the k-th any may be named."""


def top_k(values: Float[Tensor, "row n"], k: int) -> Largest:
    """The same values as `torch.topk`; NaN counts as the largest, as there."""
    n_rows, n = values.shape
    width = _block_width(n, k)
    if width == 1:
        return Largest(*values.topk(k, dim=-1))
    n_blocks = n // width  # block b holds b, b + n_blocks, ...: the maxima are taken row by row
    blocks = values.view(n_rows, width, n_blocks).amax(dim=1).topk(k, sorted=False).indices
    starts = torch.arange(0, n, n_blocks, device=values.device)
    places = (starts[:, None] + blocks[:, None, :]).flatten(1)
    found = values.gather(1, places).topk(k, dim=-1)
    return Largest(found.values, places.gather(1, found.indices))


def _block_width(n: int, k: int) -> int:
    """Leaves least to sort, n / width + k * width; a divisor of n."""
    best = max(1, math.isqrt(n // k))
    return next(width for width in range(best, 0, -1) if n % width == 0)
