"""The float32 top-k from a bfloat16 product, with a proof for every token.

The product of tokens and encoder is most of the work of a statistics pass, and in bfloat16 it runs
several times faster than in float32. Its rounding can move a feature across the k-th place, so:

1. One bfloat16 product gives every feature an upper bound of its gate, not an estimate.
2. The C features of largest bound are candidates; their gates are computed in float32.
3. If the k-th largest of these, less its own rounding, is above the bound of every other feature,
   no other feature is among the k largest: the token is certified. Otherwise it is encoded by the
   float32 product.

The bound is that of `bfloat16_bound`.

What is certified: the k largest of the real numbers x w + b, and the k largest of any float32
evaluation of them, are all among the candidates. Among the candidates the float32 values decide, as
they do in `Encoder`; two float32 evaluations differ only where the k-th and the next activation are
closer than float32 resolves, as they do between batch sizes. Products must be float32, not TF32.

It pays where bfloat16 products are fast: GPUs, and CPUs with AVX-512 BF16 or AMX; elsewhere the
result is the same and `Encoder` is faster.
"""

import warnings
from typing import NamedTuple

import torch
from jaxtyping import BFloat16, Bool, Float, Int
from torch import Tensor

from feature_atlas.dictionary.bfloat16_bound import (
    TINY,
    before_rounding,
    bounding_rows,
    length_of,
    require_float32,
    share_lost,
    upper_bounds,
)
from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Encoder, Sae, tokens_per_block
from feature_atlas.dictionary.top_k import top_k

N_CANDIDATES = 4
"""Candidates per place in the code, by default."""


class CertifiedEncoder(NamedTuple):
    """An `Encoder` that mostly computes in bfloat16; make it once, encode many batches."""

    exact: Encoder
    """Decides among candidates, and alone where nothing can be proved."""
    bounding: BFloat16[Tensor, "d_sae column"]
    """Row f times the columns of a token is an upper bound of its gate."""
    length: Float[Tensor, " d_sae"]
    """|w| of every feature."""
    n_candidates: int
    """C: more cost time, fewer leave more tokens to the float32 product."""
    tokens: Int[Tensor, ""]
    """Tokens encoded so far; updated in place."""
    fallbacks: Int[Tensor, ""]
    """Those of them that the float32 product had to encode; updated in place."""

    @classmethod
    def of(cls, sae: Sae, n_candidates: int | None = None) -> "CertifiedEncoder":
        """Fold, round and measure the weights; `n_candidates` is 4 k unless given."""
        d_sae = len(sae.w_dec)
        if not isinstance(sae.gate, TopK):
            raise TypeError("thresholds are certified by `CertifiedThreshold`.")
        n = min(d_sae, N_CANDIDATES * sae.gate.k) if n_candidates is None else n_candidates
        if not sae.gate.k < n <= d_sae:
            raise ValueError(
                f"{n} candidates for the {sae.gate.k} largest of {d_sae} features: expected more "
                f"than {sae.gate.k} and at most {d_sae}."
            )
        folded = Encoder.of(sae)
        rows = folded.weight.T.contiguous()  # a candidate's weights lie together
        count = torch.zeros((), dtype=torch.int64, device=rows.device)
        return cls(
            folded._replace(weight=rows.T),
            bounding_rows(rows, folded.bias),
            length_of(rows),
            n,
            count,
            count.clone(),
        )

    @property
    def k(self) -> int:
        """How many features at most fire on a token."""
        assert isinstance(self.exact.gate, TopK)
        return self.exact.gate.k

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
        blocks = residual.float().split(tokens_per_block(self.length))
        parts = [self._encode(block) for block in blocks]
        return SparseCodes.joined(parts)

    def _encode(self, residual: Float[Tensor, "token d_model"]) -> SparseCodes:
        codes, is_certified = self.certify(residual)
        open_tokens = (~is_certified).nonzero().flatten()
        self.tokens.add_(len(residual))
        self.fallbacks.add_(len(open_tokens))
        if len(open_tokens):
            values, indices = self.exact.encode(residual[open_tokens])
            codes.values[open_tokens], codes.indices[open_tokens] = values, indices
        return codes

    def certify(
        self, residual: Float[Tensor, "token d_model"]
    ) -> tuple[SparseCodes, Bool[Tensor, " token"]]:
        """Codes from the candidates alone, and for which tokens they are proved."""
        highest, candidates = top_k(self.bounds(residual), self.n_candidates)
        ceiling = before_rounding(highest[:, -1].float())
        candidates = candidates.sort().values  # as rows of a sparse matrix are
        gates = self.gates(residual, candidates)
        found = gates.topk(self.k, dim=-1)
        codes = SparseCodes(found.values.relu(), candidates.gather(1, found.indices))
        codes = self.exact.in_units(codes)
        floor = self.proved(residual, candidates, gates)
        return codes, (floor > ceiling) | (ceiling <= 0)  # what cannot be above 0 is silent

    def bounds(self, residual: Float[Tensor, "token d_model"]) -> BFloat16[Tensor, "token d_sae"]:
        """An upper bound of every gate, rounded to bfloat16; -3e38 for features that never fire."""
        return upper_bounds(residual, self.bounding)

    def gates(
        self, residual: Float[Tensor, "token d_model"], candidates: Int[Tensor, "token candidate"]
    ) -> Float[Tensor, "token candidate"]:
        """Float32 gates of the candidates only: a product sampled where they stand."""
        n_tokens, n = candidates.shape
        starts = torch.arange(0, n_tokens * n + 1, n, device=candidates.device)
        return gates_at(self.exact, residual, starts, candidates.flatten()).view(n_tokens, n)

    def proved(
        self,
        residual: Float[Tensor, "token d_model"],
        candidates: Int[Tensor, "token candidate"],
        gates: Float[Tensor, "token candidate"],
    ) -> Float[Tensor, " token"]:
        """Every float32 evaluation finds k gates at least as large as this."""
        size = length_of(residual)[:, None] * self.length[candidates]
        size += self.exact.bias[candidates].abs()
        lost = 2 * share_lost(self.exact.weight) * size + TINY  # ours and the other's
        return (gates - lost).topk(self.k, dim=-1).values[:, -1]


def gates_at(
    exact: Encoder,
    residual: Float[Tensor, "token d_model"],
    starts: Int[Tensor, " token_and_end"],
    features: Int[Tensor, " place"],
) -> Float[Tensor, " place"]:
    """Float32 gates of some features of each token: those from its start to the next one's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        places = torch.sparse_csr_tensor(
            starts,
            features,
            exact.bias[features],
            (len(residual), exact.d_sae),
            check_invariants=False,  # they hold by construction, and checking takes long
        )
    return torch.sparse.sampled_addmm(places, residual, exact.weight).values()
