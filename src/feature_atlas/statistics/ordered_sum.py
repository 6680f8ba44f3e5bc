"""Sums of many values into cells, in one order: the same bytes each time on one kind of device.

Floats are rounded after every addition, so that a sum's last bits hang on the order of its terms. A
CPU adds in the order that is given. CUDA's ``index_add_`` has thousands of threads add at once, in
whatever order they come; its ``index_put_`` sorts the values by their cell first, and the order in
which it adds those of a cell hangs on their number alone.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def add_in_order(
    sums: Float[Tensor, " cell"], cells: Int[Tensor, " value"], values: Float[Tensor, " value"]
) -> None:
    """Add every value to its cell, in place: sums[c] += sum of the values whose cell is c."""
    if sums.is_cpu:
        sums.index_add_(0, cells, values)
    else:
        sums.index_put_((cells,), values, accumulate=True)


def count(counts: Int[Tensor, " cell"], cells: Int[Tensor, " value"]) -> None:
    """Add 1 to the cell of every value, in place. Whole numbers need no order, and no sorting."""
    if counts.is_cpu:
        counts.index_add_(0, cells, torch.ones_like(cells))  # in less time than a histogram
    else:
        counts.add_(torch.bincount(cells, minlength=len(counts)))
