"""A dictionary that knows nothing: random directions, nothing trained (beside paper 4.1).

    g = c ((z - m) . d_f - t)           d_f a random unit direction, of encoder and decoder
    a = gate(g)                         the trained dictionary's kind of gate, and its k
    x' = (sum_f a_f d_f + m) / s

Scores of its features are what a score gives to features that mean nothing: trained dictionaries
owe some of theirs to the gate, the counting and the judge alone (2602.14111 finds most). Three
numbers a layer are taken from tokens, so that it is as loud and as sparse as the trained one:

- m, the mean token. Residuals have a large one, and directions that lie towards it would fire on
  every token and leave no room for others.
- t, the level, so that as many features fire on a token in the mean as of the trained dictionary.
  Under thresholds it is the threshold of all features; under TopK it is needed only where the
  trained one fires on fewer than k, since of many random directions k are always above 0.
- c, so that taking t off leaves the mean length of what fires as it was; 1 where t is 0.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from feature_atlas.dictionary.gate import Threshold, TopK
from feature_atlas.dictionary.sae import Sae, random_sae, tokens_per_block


@torch.no_grad()
def frozen_random(like: Sae, residual: Float[Tensor, "token d_model"], l0: float, seed: int) -> Sae:
    """One of the shape of ``like``; on the given tokens ``l0`` > 0 features fire in the mean."""
    direction = random_sae(like, seed).w_dec
    z = like.scale * residual.float().to(direction.device)
    mean = z.mean(0)
    n_firing = round(l0 * len(z))
    highest = _highest(z - mean, direction, like.gate, n_firing + 1)
    firing, below = highest[:n_firing], highest[n_firing:]
    level = max(float(below[0]), 0.0) if len(below) else 0.0
    gate, loudness, off = like.gate, 1.0, level
    if isinstance(gate, Threshold):
        gate, off = Threshold(torch.full_like(gate.theta, level)), 0.0
    elif level > 0:
        loudness = float(firing.sum() / (firing - level).sum())
    return Sae(
        w_enc=(loudness * direction).T.contiguous(),
        b_enc=-loudness * (direction @ mean + off),
        w_dec=direction,
        b_dec=mean,
        gate=gate,
        scale=like.scale,
    )


def _highest(
    centred: Float[Tensor, "token d_model"],
    direction: Float[Tensor, "d_sae d_model"],
    gate: TopK | Threshold,
    n: int,
) -> Float[Tensor, " highest"]:
    """The n highest pre-activations of all tokens, falling.

    Of a TopK's only those that are among the k highest of their token; fewer, if there are no more.
    """
    kept: Tensor = centred.new_empty(0)
    for gates in _gates(centred, direction):
        found = gates.topk(min(gate.k, gates.shape[1])).values if isinstance(gate, TopK) else gates
        together = torch.cat([kept, found.flatten()])
        kept = together.topk(min(n, len(together))).values
    return kept


def _gates(
    centred: Float[Tensor, "token d_model"], direction: Float[Tensor, "d_sae d_model"]
) -> Iterator[Float[Tensor, "token d_sae"]]:
    for block in centred.split(tokens_per_block(direction)):
        yield block @ direction.T
