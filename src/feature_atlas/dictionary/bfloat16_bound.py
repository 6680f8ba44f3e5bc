"""Upper bounds of all gates from one bfloat16 product, with what rounding may have taken.

x is the residual, w a row of folded weights with bias b, x^ and w^ their bfloat16
roundings, |.| a length; the roundings x - x^ and w - w^ are known exactly, and

    x w = x^ w^ + (x - x^) w + x^ (w - w^)
        <= x^ w^ + |x - x^| |w| + |x^| |w - w^|                                  (Cauchy-Schwarz)

Adding n products in any order in float32 loses at most n 2^-23 sum |products|, twice what
rounding to nearest loses, since some accelerators truncate; this is added for the bfloat16 product,
and again for the float32 product, so that the bound also holds for what `Encoder` computes. Two
more columns of x^ and rows of w^, rounded upwards, and two for the bias make the product itself
return the bound: a few huge rows have large bounds of their own and spoil no other feature's.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import BFloat16, Float
from torch import Tensor

_ADDED = 2.0**-23
_NEVER = -3e38
TINY = 2.0**-100


def upper_bounds(
    residual: Float[Tensor, "token d_model"], bounding: BFloat16[Tensor, "d_sae column"]
) -> BFloat16[Tensor, "token d_sae"]:
    """An upper bound of every gate, rounded to bfloat16; -3e38 for features that never fire."""
    with float32_accumulation():
        return bounding_columns(residual, bounding) @ bounding.T


def bounding_rows(
    rows: Float[Tensor, "d_sae d_model"], bias: Float[Tensor, " d_sae"]
) -> BFloat16[Tensor, "d_sae column"]:
    """[w^, |w| up, (|w - w^| + what sums lose of |w|) up, bias in two parts, 0 ...]."""
    d_sae, d_model = rows.shape
    n_columns = -(-(d_model + 4) // 32) * 32  # products like whole cache lines
    bounding = rows.new_zeros(d_sae, n_columns, dtype=torch.bfloat16)
    bounding[:, :d_model] = _rounded(rows)
    length, lost = length_of(rows), 2 * share_lost(bounding.T)
    error = length_of(rows - bounding[:, :d_model])
    high = bias.bfloat16()
    low = bias - high + 2 * lost * bias.abs()
    bounding[:, d_model] = _up(length)
    bounding[:, d_model + 1] = _up(error + lost * (1 + 2**-7) * length)
    bounding[:, d_model + 2] = high
    bounding[:, d_model + 3] = (low + 2**-7 * low.abs() + TINY).bfloat16()
    never = (length == 0) & (bias <= 0)  # else they tie with each other at 0
    bounding[never, d_model + 2] = _NEVER
    return bounding


def bounding_columns(
    residual: Float[Tensor, "token d_model"], bounding: BFloat16[Tensor, "d_sae column"]
) -> BFloat16[Tensor, "token column"]:
    """[x^, |x - x^| up, |x^| up, 1, 1, 0 ...]."""
    n_tokens, d_model = residual.shape
    columns = bounding.new_zeros(n_tokens, bounding.shape[1])
    columns[:, :d_model] = _rounded(residual)
    columns[:, d_model] = _up(length_of(residual - columns[:, :d_model]))
    columns[:, d_model + 1] = _up(length_of(columns[:, :d_model]))
    columns[:, d_model + 2 : d_model + 4] = 1
    return columns


def _rounded(x: Float[Tensor, "*shape"]) -> BFloat16[Tensor, "*shape"]:
    """To the nearest bfloat16; subnormal numbers to 0, since products may treat them so."""
    near = x.bfloat16()
    return near.masked_fill_(near.abs() < torch.finfo(torch.bfloat16).tiny, 0)


def _up(x: Float[Tensor, "*shape"]) -> BFloat16[Tensor, "*shape"]:
    """A bfloat16 that is larger by a factor of 1 + 2^-8 at least: room for x's own rounding."""
    return (x * (1 + 2**-7) ** 2).clamp_min(TINY).bfloat16()


def before_rounding(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The largest number that bfloat16 may have rounded to x."""
    return x + x.abs() / 250 + TINY


def length_of(x: Tensor) -> Float[Tensor, " row"]:
    """In float64 inside, so that squares of small numbers do not vanish."""
    return torch.linalg.vector_norm(x, dim=-1, dtype=torch.float64).float()


def share_lost(weight: Tensor) -> float:
    """Share of sum |products| that adding a product per row of `weight`, and a bias, may lose."""
    return (len(weight) + 2) * _ADDED * 1.01


@contextmanager
def float32_accumulation() -> Iterator[None]:
    """On CUDA parts of one bfloat16 product may by default be added in bfloat16: not here."""
    flags = torch.backends.cuda.matmul
    before = flags.allow_bf16_reduced_precision_reduction
    flags.allow_bf16_reduced_precision_reduction = False
    try:
        yield
    finally:
        flags.allow_bf16_reduced_precision_reduction = before


def require_float32() -> None:
    """Refuse products of rounded operands."""
    precision = torch.get_float32_matmul_precision()
    if precision != "highest":
        raise ValueError(
            f"torch computes float32 products with precision {precision!r}, expected 'highest': "
            "nothing can be proved about rounded operands. Call "
            "torch.set_float32_matmul_precision('highest'), or encode with `Encoder`."
        )
