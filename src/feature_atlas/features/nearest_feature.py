"""Which features of its layer write nearly the same direction (beside paper 4.2).

    c_fg = <d_f, d_g> / (|d_f| |d_g|)

All d_sae x d_sae cosines are looked at, some features at a time; the nearest are those with the
largest cosines, the feature itself left out. A row of zeros has no direction, and cosine 0 to all.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

ROWS_AT_ONCE = 1024
"""Features whose cosines to all others are in memory together: 134 MB of 32,768."""


class Nearest(NamedTuple):
    """For each feature, those that it resembles most, nearest first."""

    feature: Int[Tensor, "d_sae n"]
    """Their numbers in the layer."""
    cosine: Float[Tensor, "d_sae n"]
    """Cosine of the directions, -1 to 1."""


@torch.no_grad()
def nearest_features(decoder: Float[Tensor, "d_sae d_model"], n: int = 8) -> Nearest:
    """The `n` nearest of each feature; all others where the dictionary is smaller."""
    directions = F.normalize(decoder.float(), dim=-1)
    n = min(n, len(decoder) - 1)
    found = []
    for first in range(0, len(decoder), ROWS_AT_ONCE):
        cosines = directions[first : first + ROWS_AT_ONCE] @ directions.T
        cosines.diagonal(first).fill_(-torch.inf)
        found.append(cosines.topk(n))
    return Nearest(
        torch.cat([part.indices for part in found]),
        torch.cat([part.values for part in found]).clamp(-1, 1),
    )
