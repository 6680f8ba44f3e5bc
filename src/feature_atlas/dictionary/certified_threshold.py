"""The float32 codes of a threshold gate from a bfloat16 product, with a proof for every feature.

One bfloat16 product bounds every pre-activation from above (`bfloat16_bound`). A feature whose
bound is not above its threshold is silent, whatever float32 would say; the others are candidates,
whose pre-activations are computed in float32 and compared. So every feature is decided, either by
more than the error of its bound or by float32 itself, and no token is left over. A token with so
many candidates that the whole float32 product is cheaper is encoded by that.

Two float32 evaluations differ only where a pre-activation is closer to its threshold than float32
resolves, as they do between batch sizes. See `certified` for TopK, and for where it pays.
"""

from typing import NamedTuple

import torch
from jaxtyping import BFloat16, Bool, Float, Int
from torch import Tensor

from feature_atlas.dictionary.bfloat16_bound import (
    TINY,
    bounding_rows,
    require_float32,
    upper_bounds,
)
from feature_atlas.dictionary.certified import gates_at
from feature_atlas.dictionary.codes import SparseCodes, of_firings
from feature_atlas.dictionary.gate import Threshold
from feature_atlas.dictionary.sae import Encoder, Sae, tokens_per_block

LARGEST_SHARE = 8
"""Tokens of which more than one feature in so many is a candidate go to the float32 product."""


class CertifiedThreshold(NamedTuple):
    """An `Encoder` that mostly computes in bfloat16; make it once, encode many batches."""

    exact: Encoder
    """Decides among candidates."""
    bounding: BFloat16[Tensor, "d_sae column"]
    """Row f times the columns of a token is an upper bound of its pre-activation."""
    floor: Float[Tensor, " d_sae"]
    """A bound that is not above it proves silence: the threshold, less the bound's own rounding."""
    theta: Float[Tensor, " d_sae"]
    """The thresholds."""
    tokens: Int[Tensor, ""]
    """Tokens encoded so far; updated in place."""
    fallbacks: Int[Tensor, ""]
    """Those of them that the float32 product encoded; updated in place."""

    @classmethod
    def of(cls, sae: Sae) -> "CertifiedThreshold":
        """Fold, round and measure the weights."""
        if not isinstance(sae.gate, Threshold):
            raise TypeError("TopK is certified by `CertifiedEncoder`.")
        folded, theta = Encoder.of(sae), sae.gate.theta
        rows = folded.weight.T.contiguous()  # a candidate's weights lie together
        count = torch.zeros((), dtype=torch.int64, device=rows.device)
        return cls(
            folded._replace(weight=rows.T),
            bounding_rows(rows, folded.bias),
            theta / (1 + 1 / 249) - 2 * TINY,
            theta,
            count,
            count.clone(),
        )

    @property
    def d_sae(self) -> int:
        """How many features there are."""
        return self.exact.d_sae

    @torch.no_grad()
    def encode(self, residual: Float[Tensor, "token d_model"]) -> SparseCodes:
        """The codes of `Encoder.encode`; memory is that of one block of tokens."""
        require_float32()
        if residual.shape[-1] != len(self.exact.weight):
            return self.exact.encode(residual)  # says what is wrong
        blocks = residual.float().split(tokens_per_block(self.theta))
        return SparseCodes.joined([self._encode(block) for block in blocks])

    def _encode(self, residual: Float[Tensor, "token d_model"]) -> SparseCodes:
        is_open = self.candidates(residual)
        is_wide = is_open.sum(-1) > self.d_sae // LARGEST_SHARE
        self.tokens.add_(len(residual))
        self.fallbacks.add_(is_wide.sum())
        codes = self._decided(residual, is_open & ~is_wide[:, None])
        if not is_wide.any():
            return codes
        whole = self.exact.encode(residual[is_wide])
        width = max(codes.values.shape[1], whole.values.shape[1])
        codes, whole = codes.widened(width), whole.widened(width)
        codes.values[is_wide], codes.indices[is_wide] = whole
        return codes

    def candidates(self, residual: Float[Tensor, "token d_model"]) -> Bool[Tensor, "token d_sae"]:
        """Features that may fire; NaN may."""
        return ~(upper_bounds(residual, self.bounding) <= self.floor)

    def _decided(
        self, residual: Float[Tensor, "token d_model"], is_open: Bool[Tensor, "token d_sae"]
    ) -> SparseCodes:
        """What fires among the candidates, by their float32 pre-activations."""
        token, feature = is_open.nonzero(as_tuple=True)
        n_open = is_open.sum(-1)
        starts = torch.cat([n_open.new_zeros(1), n_open.cumsum(0)])
        gates = gates_at(self.exact, residual, starts, feature)
        fires = ~(gates <= self.theta[feature])
        codes = of_firings(len(residual), token[fires], feature[fires], gates[fires])
        return self.exact.in_units(codes)
