"""Energy by kind of token, with and without sinks: do a few tokens make up the statistics?

A sink is a token on which attention rests for no reason of its own; its residual is many times as
long as others', and so is what its codes add to every energy. Here a token is a sink when its raw
norm is above 10 times the median of its layer. The median is known only at the end of a stream, so
tokens are counted by norm, in bins a sixteenth of an octave wide at most:

    bin = the eight exponent bits and first four mantissa bits of the norm as float32

(the bits of non-negative floats, read as integers, are ordered as the floats are). Medians and
thresholds are those of the bins; counts and sums depend on no batch size.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.features.visual_energy import ALL_TOKENS, N_ROLES
from feature_atlas.statistics.ordered_sum import add_in_order, count
from feature_atlas.vlm.token_roles import Role

SINK_FACTOR = 10.0
"""Norms above this many medians are sinks'."""
_DROPPED_BITS = 19
_N_BINS = 1 << (31 - _DROPPED_BITS)


class NormSums(NamedTuple):
    """Tokens of one layer under one condition by role and norm; row r belongs to `Role(r)`.

    Tensors only, and updated in place.
    """

    tokens: Int[Tensor, "role bin"]
    """Tokens with a norm in the bin."""
    energy: Float[Tensor, "role bin"]
    """Their squared activations, summed over all features, float64, normalised units squared."""

    @classmethod
    def empty(cls, device: torch.device | str = "cpu") -> "NormSums":
        """Nothing seen yet."""
        return cls(
            torch.zeros(N_ROLES, _N_BINS, dtype=torch.int64, device=device),
            torch.zeros(N_ROLES, _N_BINS, dtype=torch.float64, device=device),
        )

    def add(
        self,
        residual: Float[Tensor, "token d_model"],
        codes: SparseCodes,
        roles: Int[Tensor, " token"],
    ) -> None:
        """Count a batch of tokens by the norm of their raw residual; padding is passed over."""
        if not len(residual) == len(codes.values) == len(roles):
            raise ValueError(
                f"{len(residual)} residuals, codes of {len(codes.values)} tokens, "
                f"{len(roles)} roles: pass the same tokens."
            )
        norm = torch.linalg.vector_norm(residual, dim=-1, dtype=torch.float32)
        is_token = roles != Role.PAD
        slots = (roles.long() * _N_BINS + (norm.view(torch.int32) >> _DROPPED_BITS))[is_token]
        count(self.tokens.view(-1), slots)
        energy = codes.values.double().square().sum(-1)[is_token]
        add_in_order(self.energy.view(-1), slots, energy)

    def merge(self, other: "NormSums") -> None:
        """Count what another one counted, of other tokens."""
        self.tokens.add_(other.tokens)
        self.energy.add_(other.energy)


class RoleEnergy(NamedTuple):
    """What a role's tokens carry, all of them and without sinks; one entry per `Role`."""

    n_tokens: Int[Tensor, " role"]
    """Tokens seen."""
    n_sinks: Int[Tensor, " role"]
    """Of these, the ones with a norm above the limit."""
    energy: Float[Tensor, " role"]
    """Squared activations of a token, summed over features; mean over tokens, NaN without any."""
    energy_without_sinks: Float[Tensor, " role"]
    """The same over the tokens that are no sinks."""
    sink_share: Float[Tensor, " role"]
    """Share of the role's energy that its sinks carry, 0 to 1; 0 where there is no energy."""


def median_norm(sums: NormSums) -> float:
    """Median raw norm of the tokens that a prompt consists of, BOS aside; to a sixteenth."""
    tokens = sums.tokens[list(ALL_TOKENS)].sum(0)
    if tokens.sum() == 0:
        raise ValueError("no tokens were counted by norm: their median needs at least one.")
    at_or_below = tokens.cumsum(0)
    middle = int(torch.searchsorted(at_or_below, (at_or_below[-1] + 1) // 2))
    bits = torch.tensor((middle << _DROPPED_BITS) + (1 << (_DROPPED_BITS - 1)), dtype=torch.int32)
    return float(bits.view(torch.float32))


def role_energy(sums: NormSums, sink_norm: float) -> RoleEnergy:
    """Counts and mean energies by role; sinks are in a bin above that of `sink_norm`."""
    limit = int(torch.tensor(sink_norm, dtype=torch.float32).view(torch.int32)) >> _DROPPED_BITS
    n_tokens, energy = sums.tokens.sum(1), sums.energy.sum(1)
    n_sinks, in_sinks = sums.tokens[:, limit + 1 :].sum(1), sums.energy[:, limit + 1 :].sum(1)
    return RoleEnergy(
        n_tokens,
        n_sinks,
        energy / n_tokens,
        (energy - in_sinks) / (n_tokens - n_sinks),
        in_sinks / energy.clamp_min(torch.finfo(energy.dtype).tiny),
    )
