"""Sparse codes: what fires on each token, and how strongly; a dense code is never built."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


class SparseCodes(NamedTuple):
    """The features that fire on every token.

    Rows are as wide as the code of the token on which most features fire. The places that another
    token leaves over are silent: their value is 0, and whatever feature they name does not fire.
    """

    values: Float[Tensor, "token width"]
    """Activations in normalised units, >= 0; 0 is silent."""
    indices: Int[Tensor, "token width"]
    """Feature numbers; those that fire on a token differ."""

    @classmethod
    def joined(cls, parts: Sequence["SparseCodes"]) -> "SparseCodes":
        """The tokens of several codes, one after another."""
        width = max(part.values.shape[1] for part in parts)
        columns = zip(*(part.widened(width) for part in parts), strict=True)
        return cls(*(torch.cat(column) for column in columns))

    def widened(self, width: int) -> "SparseCodes":
        """The same codes with silent places behind them."""
        n_more = width - self.values.shape[1]
        if n_more == 0:
            return self
        return SparseCodes(*(F.pad(column, (0, n_more)) for column in self))


def of_firings(
    n_tokens: int,
    token: Int[Tensor, " firing"],
    feature: Int[Tensor, " firing"],
    value: Float[Tensor, " firing"],
) -> SparseCodes:
    """The codes of a list of firings in which tokens rise."""
    n_fired = torch.bincount(token, minlength=n_tokens)
    width = max(int(n_fired.max()), 1) if n_tokens else 1
    place = torch.arange(len(token), device=token.device) - (n_fired.cumsum(0) - n_fired)[token]
    values = value.new_zeros(n_tokens, width)
    indices = feature.new_zeros(n_tokens, width)
    values[token, place], indices[token, place] = value, feature
    return SparseCodes(values, indices)


def chosen(
    strength: Float[Tensor, "token d_sae"], fires: Bool[Tensor, "token d_sae"]
) -> SparseCodes:
    """The codes of dense activations of which those marked fire."""
    token, feature = fires.nonzero(as_tuple=True)
    return of_firings(len(fires), token, feature, strength[token, feature])
