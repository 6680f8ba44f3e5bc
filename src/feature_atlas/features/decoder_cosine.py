"""Decoder cosine: how far fine-tuning turned the direction a feature writes (paper 4.2, A.1)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

# Rows taken to float64 at once: 128 MB at the width of Llama 3.1 8B.
_ROWS_AT_ONCE = 4096


def decoder_cosine(
    base: Float[Tensor, "d_sae d_model"], adapted: Float[Tensor, "d_sae d_model"]
) -> Float[Tensor, " d_sae"]:
    """Cosine of each feature's decoder direction with itself after fine-tuning (4.2).

        c_f = <d_f, d'_f> / (|d_f| |d'_f|)

    Row f is the same feature in both. 1: direction kept, exactly so if the row was never updated,
    be it of zeros. 0: a new direction, or a row that became or was zero, which has none. Norms do
    not matter. Encoders, of shape [d_model, d_sae], are compared by passing their transposes.
    """
    _require_same_dictionary(base, adapted)
    rows = zip(base.split(_ROWS_AT_ONCE), adapted.split(_ROWS_AT_ONCE), strict=True)
    return torch.cat([_row_cosines(d, turned) for d, turned in rows])


class BestMatch(NamedTuple):
    """For each adapted feature, the base feature that it now resembles most."""

    feature: Int[Tensor, " d_sae"]
    """Its number in the base dictionary; the feature's own unless another is strictly closer."""
    cosine: Float[Tensor, " d_sae"]
    """Cosine with it, -1 to 1; exactly 1 where the rows are equal."""


def best_base_match(
    base: Float[Tensor, "d_sae d_model"],
    adapted: Float[Tensor, "d_sae d_model"],
    chunk: int = 4096,
) -> BestMatch:
    """Did a feature that turned become another one? The closest of all base directions.

    All d_sae x d_sae cosines are looked at, `chunk` adapted features at a time.
    """
    _require_same_dictionary(base, adapted)
    directions = _unit(base.float())
    matches = [
        _closest(directions, _unit(rows.float()), first=i * chunk)
        for i, rows in enumerate(adapted.split(chunk))
    ]
    feature = torch.cat(matches)
    parts = zip(feature.split(_ROWS_AT_ONCE), adapted.split(_ROWS_AT_ONCE), strict=True)
    cosine = torch.cat([_row_cosines(base[match], rows) for match, rows in parts])
    return BestMatch(feature, cosine)


def _row_cosines(
    before: Float[Tensor, "row d_model"], after: Float[Tensor, "row d_model"]
) -> Float[Tensor, " row"]:
    """Cosine of each row with the row of the same number, computed in float64."""
    cosine = (_unit(before.double()) * _unit(after.double())).sum(-1).float().clamp(-1, 1)
    return torch.where((before == after).all(-1), torch.ones_like(cosine), cosine)


def _closest(
    directions: Float[Tensor, "d_sae d_model"], rows: Float[Tensor, "chunk d_model"], first: int
) -> Int[Tensor, " chunk"]:
    """Closest direction of rows `first`, `first + 1`, ...; ties go to the row's own."""
    cosines = rows @ directions.T
    cosine, feature = cosines.max(dim=-1)
    own = torch.arange(first, first + len(rows), device=rows.device)
    own_cosine = cosines.gather(1, own[:, None]).squeeze(1)
    return torch.where(own_cosine >= cosine, own, feature)


def _unit(rows: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_model"]:
    """Rows of length 1, however short they were; zeros stay zeros."""
    largest = rows.abs().amax(-1, keepdim=True)
    rows = torch.where(largest > 0, rows / largest, rows)  # squares of tiny numbers are zeros
    return F.normalize(rows, dim=-1)


def _require_same_dictionary(base: Tensor, adapted: Tensor) -> None:
    if base.shape != adapted.shape:  # cosine_similarity would broadcast and say nothing
        raise ValueError(
            f"base decoder is {list(base.shape)}, adapted is {list(adapted.shape)}: "
            "pass the SAE that the adapted one was fine-tuned from."
        )
    for name, decoder in (("base", base), ("adapted", adapted)):
        if not decoder.isfinite().all():
            bad = int((~decoder.isfinite().all(-1)).nonzero()[0])
            raise ValueError(
                f"the {name} decoder has NaN or inf, first in row {bad}: "
                "training diverged or the file is damaged; adapt again with a lower learning rate."
            )
