"""The float32 top-k from a bfloat16 product, with a proof for every token.

The product of tokens and encoder is most of the work of a statistics pass, and in bfloat16 it runs
several times faster than in float32. Its rounding can move a feature across the k-th place, so:

1. One bfloat16 product gives every feature an upper bound of its gate, not an estimate.
2. The C features of largest bound are candidates; their gates are computed in float32.
3. If the k-th largest of these, less its own rounding, is above the bound of every other feature,
   no other feature is among the k largest: the token is certified. Otherwise it is encoded by the
   float32 product.

The bound. x is the residual, w a row of folded weights with bias b, x^ and w^ their bfloat16
roundings, |.| a length; the roundings x - x^ and w - w^ are known exactly, and

    x w = x^ w^ + (x - x^) w + x^ (w - w^)
        <= x^ w^ + |x - x^| |w| + |x^| |w - w^|                                  (Cauchy-Schwarz)

Adding n products in any order in float32 loses at most n 2^-23 sum |products|, twice what
rounding to nearest loses, since some accelerators truncate; this is added for the bfloat16 product,
and again for the float32 product, so that the bound also holds for what `Encoder` computes. Two
more columns of x^ and rows of w^, rounded upwards, and two for the bias make the product itself
return the bound: a few huge rows have large bounds of their own and spoil no other feature's.

What is certified: the k largest of the real numbers x w + b, and the k largest of any float32
evaluation of them, are all among the candidates. Among the candidates the float32 values decide, as
they do in `Encoder`; two float32 evaluations differ only where the k-th and the next activation are
closer than float32 resolves, as they do between batch sizes. Products must be float32, not TF32.

It pays where bfloat16 products are fast: GPUs, and CPUs with AVX-512 BF16 or AMX; elsewhere the
result is the same and `Encoder` is faster.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import BFloat16, Bool, Float, Int
from torch import Tensor

from feature_atlas.dictionary.sae import Encoder, SparseCodes, TopKSae, tokens_per_block
from feature_atlas.dictionary.top_k import top_k

N_CANDIDATES = 4
"""Candidates per place in the code, by default."""
_ADDED = 2.0**-23
_NEVER = -3e38
_TINY = 2.0**-100


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
    def of(cls, sae: TopKSae, n_candidates: int | None = None) -> "CertifiedEncoder":
        """Fold, round and measure the weights; `n_candidates` is 4 k unless given."""
        d_sae = len(sae.w_dec)
        n = min(d_sae, N_CANDIDATES * sae.k) if n_candidates is None else n_candidates
        if not sae.k < n <= d_sae:
            raise ValueError(
                f"{n} candidates for the {sae.k} largest of {d_sae} features: expected more than "
                f"{sae.k} and at most {d_sae}."
            )
        folded = Encoder.of(sae)
        rows = folded.weight.T.contiguous()  # a candidate's weights lie together
        count = torch.zeros((), dtype=torch.int64, device=rows.device)
        return cls(
            folded._replace(weight=rows.T),
            _bounding_rows(rows, folded.bias),
            _length(rows),
            n,
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
        _require_float32()
        if residual.shape[-1] != len(self.exact.weight):
            return self.exact.encode(residual)  # says what is wrong
        blocks = residual.float().split(tokens_per_block(self.length))
        parts = [self._encode(block) for block in blocks]
        return SparseCodes(*(torch.cat(column) for column in zip(*parts, strict=True)))

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
        found = gates.topk(self.exact.k, dim=-1)
        codes = SparseCodes(found.values.relu(), candidates.gather(1, found.indices))
        floor = self.proved(residual, candidates, gates)
        return codes, (floor > ceiling) | (ceiling <= 0)  # what cannot be above 0 is silent

    def bounds(self, residual: Float[Tensor, "token d_model"]) -> BFloat16[Tensor, "token d_sae"]:
        """An upper bound of every gate, rounded to bfloat16; -3e38 for features that never fire."""
        with _float32_accumulation():
            return _bounding_columns(residual, self.bounding) @ self.bounding.T

    def gates(
        self, residual: Float[Tensor, "token d_model"], candidates: Int[Tensor, "token candidate"]
    ) -> Float[Tensor, "token candidate"]:
        """Float32 gates of the candidates only: a product sampled where they stand."""
        n_tokens, n = candidates.shape
        starts = torch.arange(0, n_tokens * n + 1, n, device=candidates.device)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            places = torch.sparse_csr_tensor(
                starts,
                candidates.flatten(),
                self.exact.bias[candidates].flatten(),
                (n_tokens, self.d_sae),
                check_invariants=False,  # they hold by construction, and checking takes long
            )
        gates = torch.sparse.sampled_addmm(places, residual, self.exact.weight)
        return gates.values().view(n_tokens, n)

    def proved(
        self,
        residual: Float[Tensor, "token d_model"],
        candidates: Int[Tensor, "token candidate"],
        gates: Float[Tensor, "token candidate"],
    ) -> Float[Tensor, " token"]:
        """Every float32 evaluation finds k gates at least as large as this."""
        size = _length(residual)[:, None] * self.length[candidates]
        size += self.exact.bias[candidates].abs()
        lost = 2 * _lost(self.exact.weight) * size + _TINY  # ours and the other's
        return (gates - lost).topk(self.exact.k, dim=-1).values[:, -1]


def _bounding_rows(
    rows: Float[Tensor, "d_sae d_model"], bias: Float[Tensor, " d_sae"]
) -> BFloat16[Tensor, "d_sae column"]:
    """[w^, |w| up, (|w - w^| + what sums lose of |w|) up, bias in two parts, 0 ...]."""
    d_sae, d_model = rows.shape
    n_columns = -(-(d_model + 4) // 32) * 32  # products like whole cache lines
    bounding = rows.new_zeros(d_sae, n_columns, dtype=torch.bfloat16)
    bounding[:, :d_model] = _rounded(rows)
    length, lost = _length(rows), 2 * _lost(bounding.T)
    error = _length(rows - bounding[:, :d_model])
    high = bias.bfloat16()
    low = bias - high + 2 * lost * bias.abs()
    bounding[:, d_model] = _up(length)
    bounding[:, d_model + 1] = _up(error + lost * (1 + 2**-7) * length)
    bounding[:, d_model + 2] = high
    bounding[:, d_model + 3] = (low + 2**-7 * low.abs() + _TINY).bfloat16()
    never = (length == 0) & (bias <= 0)  # else they tie with each other at 0
    bounding[never, d_model + 2] = _NEVER
    return bounding


def _bounding_columns(
    residual: Float[Tensor, "token d_model"], bounding: BFloat16[Tensor, "d_sae column"]
) -> BFloat16[Tensor, "token column"]:
    """[x^, |x - x^| up, |x^| up, 1, 1, 0 ...]."""
    n_tokens, d_model = residual.shape
    columns = bounding.new_zeros(n_tokens, bounding.shape[1])
    columns[:, :d_model] = _rounded(residual)
    columns[:, d_model] = _up(_length(residual - columns[:, :d_model]))
    columns[:, d_model + 1] = _up(_length(columns[:, :d_model]))
    columns[:, d_model + 2 : d_model + 4] = 1
    return columns


def _rounded(x: Float[Tensor, "*shape"]) -> BFloat16[Tensor, "*shape"]:
    """To the nearest bfloat16; subnormal numbers to 0, since products may treat them so."""
    near = x.bfloat16()
    return near.masked_fill_(near.abs() < torch.finfo(torch.bfloat16).tiny, 0)


def _up(x: Float[Tensor, "*shape"]) -> BFloat16[Tensor, "*shape"]:
    """A bfloat16 that is larger by a factor of 1 + 2^-8 at least: room for x's own rounding."""
    return (x * (1 + 2**-7) ** 2).clamp_min(_TINY).bfloat16()


def before_rounding(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The largest number that bfloat16 may have rounded to x."""
    return x + x.abs() / 250 + _TINY


def _length(x: Tensor) -> Float[Tensor, " row"]:
    """In float64 inside, so that squares of small numbers do not vanish."""
    return torch.linalg.vector_norm(x, dim=-1, dtype=torch.float64).float()


def _lost(weight: Tensor) -> float:
    """Share of sum |products| that adding a product per row of `weight`, and a bias, may lose."""
    return (len(weight) + 2) * _ADDED * 1.01


@contextmanager
def _float32_accumulation() -> Iterator[None]:
    """On CUDA parts of one bfloat16 product may by default be added in bfloat16: not here."""
    flags = torch.backends.cuda.matmul
    before = flags.allow_bf16_reduced_precision_reduction
    flags.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        flags.allow_bf16_reduced_precision_reduction = before


def _require_float32() -> None:
    precision = torch.get_float32_matmul_precision()
    if precision != "highest":
        raise ValueError(
            f"torch computes float32 products with precision {precision!r}, expected 'highest': "
            "nothing can be proved about rounded operands. Call "
            "torch.set_float32_matmul_precision('highest'), or encode with `Encoder`."
        )
