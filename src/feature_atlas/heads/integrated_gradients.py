"""Gradients along the way from the corrupt to the clean picture (beside paper 5.2, C).

Methods A and B take the gradient at one end of the way. Integrated gradients (Sundararajan et al.
2017; on a model's inner parts Hanna et al. 2024, EAP-IG) take its mean over the way,

    B:  (x_clean - x_corrupt) . integral over a from 0 to 1 of dJ_f/dx at e(a),     A = -B
    e(a) = corrupt embeddings + a (clean embeddings - corrupt embeddings)

For x the embeddings themselves this is complete: it adds up to J_f(clean) - J_f(corrupt). Heads'
parts do not move in a straight line while the embeddings do, so for them it is an estimate, as A
and B are. The integral is summed at Gauss-Legendre places, n of which are exact for polynomials up
to degree 2 n - 1; each costs one forward pass, and one backward pass per feature.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.heads.head_attribution import CleanAndCorruptRuns, SwapScores
from feature_atlas.vlm.decoder_inputs import DecoderInputs
from feature_atlas.vlm.head_probe import record_heads


class Step(NamedTuple):
    """A place on the way, and what it counts."""

    place: float
    """0: corrupt; 1: clean."""
    weight: float
    """All of them add up to 1."""


def steps(n: int) -> list[Step]:
    """n places between the ends, neither of which is one."""
    if n < 1:
        raise ValueError(f"{n} steps from the corrupt to the clean run: expected 1 or more.")
    places, weights = np.polynomial.legendre.leggauss(n)
    return [Step(*map(float, step)) for step in zip((places + 1) / 2, weights / 2, strict=True)]


def run_between(
    model: PreTrainedModel,
    inputs: DecoderInputs,
    ends: CleanAndCorruptRuns,
    layers: Sequence[int],
) -> CleanAndCorruptRuns:
    """A run on the way, one row a prompt, with what clean differs from corrupt in at its ends.

    ``ends`` are of the same prompts; of them only the differences are read. `scores_of_rows` of it
    are one step's part of method B.
    """
    n = len(inputs.embeds)
    if 2 * n != len(ends.by_part[0]):
        raise ValueError(
            f"{n} prompts between a clean and a corrupt run of {len(ends.by_part[0]) // 2}: "
            "expected the same prompts."
        )
    embeds = inputs.embeds.detach()
    with torch.enable_grad():
        heads = record_heads(model, inputs._replace(embeds=embeds.requires_grad_()), layers)
    by_part, by_output = (tuple(x[n:] for x in of) for of in (ends.by_part, ends.by_output))
    return CleanAndCorruptRuns(heads, by_part, by_output)


def both_ways(mean: Float[Tensor, "score feature row layer head"]) -> SwapScores:
    """The estimates from the weighted sum of `scores_of_rows` over all steps."""
    q, k, v, z = mean[:4]
    return SwapScores(*(torch.stack([-part, part]) for part in (q + k, v, z)))
