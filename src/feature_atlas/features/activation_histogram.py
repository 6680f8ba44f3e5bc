"""How strongly a feature fires when it fires, token by token (beside paper 4.2).

Two bins an octave, from 2^-6 to 2^10 in normalised units; what is weaker or stronger counts in the
first or last bin. The lower edge of bin b is

    2^(b/2 - 6) for even b,    1.5 * 2^((b-1)/2 - 6) for odd b

which are the exponent and first mantissa bit of a float32, so that a bin is found without a
logarithm. Only counts are kept, whole numbers: they are the same in whatever order tokens come.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.statistics.ordered_sum import count
from feature_atlas.vlm.token_roles import Role

N_BINS = 32
LOWEST = 2.0**-6
"""Lower edge of the first bin."""
COUNTED = (Role.IMAGE, Role.QUESTION, Role.SUFFIX, Role.HEADER)
"""Roles of tokens that depend on the sample, which follow one another: kinds 0, 1, ..."""
_DROPPED_BITS = 22
_FIRST = int(torch.tensor(LOWEST).view(torch.int32)) >> _DROPPED_BITS


class ActivationCounts(NamedTuple):
    """Tokens of one layer by kind, feature and strength. A tensor only, and updated in place."""

    tokens: Int[Tensor, "kind d_sae bin"]
    """Tokens of `COUNTED[kind]` on which the feature fires with a strength in the bin."""

    @classmethod
    def empty(cls, d_sae: int, device: torch.device | str = "cpu") -> "ActivationCounts":
        """Nothing seen yet."""
        return cls(torch.zeros(len(COUNTED), d_sae, N_BINS, dtype=torch.int64, device=device))

    def add(self, codes: SparseCodes, roles: Int[Tensor, " token"]) -> None:
        """Count a batch of tokens; those of other kinds are passed over."""
        if roles.shape != codes.values.shape[:1]:
            raise ValueError(
                f"codes of {len(codes.values)} tokens, roles of {list(roles.shape)}: pass one role "
                "per encoded token."
            )
        kind = roles.long() - COUNTED[0]
        is_counted = (kind >= 0) & (kind < len(COUNTED))
        fires = (codes.values > 0) & is_counted[:, None]
        feature, strength = codes.indices[fires], bin_of(codes.values[fires])
        row = kind[:, None].expand_as(fires)[fires] * self.tokens.shape[1] + feature
        count(self.tokens.view(-1), row * N_BINS + strength)

    def merge(self, other: "ActivationCounts") -> None:
        """Count what another one counted, of other tokens."""
        self.tokens.add_(other.tokens)


def bin_of(activation: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """The bin of each activation above 0."""
    bits = activation.float().view(torch.int32) >> _DROPPED_BITS
    return (bits - _FIRST).clamp(0, N_BINS - 1)
