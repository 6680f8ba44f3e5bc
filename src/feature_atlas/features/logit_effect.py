"""What a feature writes: the tokens that its direction makes likelier, and less likely.

    e_fv = <d_f / |d_f|, U_v>        U: `vlm/unembedding`

The direct effect of a unit of activation, on the way that leads past all later layers: what these
make of it is left out. One product a layer, some features at a time.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.vlm.unembedding import Unembedding

LOGITS_AT_ONCE = 2**26
"""In memory: 268 MB."""


class Extremes(NamedTuple):
    """The tokens at one end of each feature's effects, furthest first."""

    token: Int[Tensor, "feature n"]
    """Their ids."""
    effect: Float[Tensor, "feature n"]
    """What a unit of activation adds to the logit, less the mean over tokens."""


class LogitEffect(NamedTuple):
    """Both ends."""

    top: Extremes
    """Largest first."""
    bottom: Extremes
    """Smallest first."""


@torch.no_grad()
def logit_effect(
    decoder: Float[Tensor, "feature d_model"], unembedding: Unembedding, n: int = 10
) -> LogitEffect:
    """The `n` tokens at both ends; all of them where the vocabulary is smaller."""
    n_tokens = len(unembedding.weight)
    if n_tokens == 0 or decoder.shape[1:] != unembedding.weight.shape[1:]:
        raise ValueError(
            f"decoder rows of {decoder.shape[1]} numbers, unembedding of {n_tokens} tokens and "
            f"{unembedding.weight.shape[1]}: pass those of one model."
        )
    rows = max(1, LOGITS_AT_ONCE // n_tokens)
    parts = [_ends(unembedding.effects(_unit(part)), n) for part in decoder.split(rows)]
    ends = zip(*parts, strict=True)
    return LogitEffect(*(Extremes(*map(torch.cat, zip(*end, strict=True))) for end in ends))


def _unit(rows: Tensor) -> Tensor:
    return F.normalize(rows.float(), dim=-1)


def _ends(effects: Float[Tensor, "feature token"], n: int) -> LogitEffect:
    n = min(n, effects.shape[1])
    top, bottom = effects.topk(n), effects.topk(n, largest=False)
    return LogitEffect(Extremes(top.indices, top.values), Extremes(bottom.indices, bottom.values))
