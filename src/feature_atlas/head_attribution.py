"""Which attention heads drive a feature: attribution patching (paper 5.2, C).

    J_f = sum over chosen positions t of y_{L,t} . v_f          v_f: unit decoder direction of f

A clean run (the picture) and a corrupt run (its layer-0 embeddings replaced, by a mean embedding
in the paper) give every head two sets of activations x: the queries, keys and values that enter its
attention, and its output z. Swapping x of one run for the other's changes J_f, to first order, by

    A:  (x_corrupt - x_clean) . dJ_f/dx at clean        what the feature loses without the picture
    B:  (x_clean - x_corrupt) . dJ_f/dx at corrupt      what it gains from the picture

summed over tokens and d_head. Both keep their sign; on a linear model A = -B. The steps:

1. One clean and one corrupt forward pass, stopped after layer L, in which the text model's
   attention is that of ``head_probe``: query heads of a group have keys and values of their own.
2. For each direction one backward pass through each of the two; the forward passes are shared.
3. Differences times gradients, per layer up to L, per head, for q, k, v and z.

``exact_patch`` makes the swap for real, one forward pass per head: the referee. Queries and keys
are taken after the rotary embedding, which turns both runs alike and so changes no score.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.head_probe import PARTS, HeadActivations, at_least_float32, record_heads


class HeadScores(NamedTuple):
    """First-order effect on J_f of swapping one part of one head; index 0 is method A, 1 is B."""

    q: Float[Tensor, "method feature batch layer head"]
    """Its queries: where it looks from."""
    k: Float[Tensor, "method feature batch layer head"]
    """Its keys: what it finds."""
    v: Float[Tensor, "method feature batch layer head"]
    """Its values: what it reads there."""
    z: Float[Tensor, "method feature batch layer head"]
    """Its output: all of the above together."""


class HeadSummary(NamedTuple):
    """Scores averaged over samples: the columns of table head_attribution."""

    score: Float[Tensor, "method feature layer head"]
    """q + k, the paper's score of a head."""
    standard_error: Float[Tensor, "method feature layer head"]
    """Of score: standard deviation over samples / sqrt(n_samples)."""
    q: Float[Tensor, "method feature layer head"]
    """Mean over samples."""
    k: Float[Tensor, "method feature layer head"]
    """Mean over samples."""
    v: Float[Tensor, "method feature layer head"]
    """Mean over samples."""
    z: Float[Tensor, "method feature layer head"]
    """Mean over samples."""
    n_samples: int
    """How many samples were averaged."""


def attribute_heads(
    model: PreTrainedModel,
    clean_embeds: Float[Tensor, "batch token d_model"],
    corrupt_embeds: Float[Tensor, "batch token d_model"],
    attention_mask: Int[Tensor, "batch token"],
    positions: Bool[Tensor, "batch token"],
    layer: int,
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
) -> HeadScores:
    """Methods A and B for every head of layers 0 to ``layer``, q, k, v and z (5.2).

    ``directions`` are unit decoder rows. All of them share the two forward passes; each costs two
    backward passes. With shape [1, batch, d_model] every sample has a direction of its own: so the
    top samples of many features go through in one batch.
    """
    _require_frozen(model)
    _require_same_shape(clean_embeds, corrupt_embeds)
    with torch.enable_grad():
        clean, corrupt = (
            record_heads(model, embeds.detach().requires_grad_(), attention_mask, layer)
            for embeds in (clean_embeds, corrupt_embeds)
        )
        scores = [
            torch.stack(
                [_first_order(clean, corrupt, cotangent), _first_order(corrupt, clean, cotangent)]
            )
            for cotangent in _cotangents(clean.residual, positions, directions)
        ]
    return HeadScores(*torch.stack(scores).permute(2, 1, 0, 4, 3, 5))


def _cotangents(
    residual: Float[Tensor, "batch token d_model"],
    positions: Bool[Tensor, "batch token"],
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
) -> Iterator[Float[Tensor, "batch token d_model"]]:
    """dJ_f/dy for each feature: v_f at the chosen positions, nothing elsewhere."""
    for direction in directions.to(residual):
        yield positions.unsqueeze(-1) * direction.unsqueeze(-2)


def _first_order(
    here: HeadActivations,
    there: HeadActivations,
    cotangent: Float[Tensor, "batch token d_model"],
) -> Float[Tensor, "part layer batch head"]:
    """(x_there - x_here) . dJ/dx at here, summed over tokens and d_head."""
    n_layers = len(here.q)
    mine = [x for part in PARTS for x in getattr(here, part)]
    theirs = [x for part in PARTS for x in getattr(there, part)]
    gradients = torch.autograd.grad(here.residual, mine, cotangent, retain_graph=True)
    with torch.no_grad():
        scores = [
            _dot_per_head(gradient, other - own)
            for gradient, own, other in zip(gradients, mine, theirs, strict=True)
        ]
        return torch.stack(scores).unflatten(0, (len(PARTS), n_layers))


def _dot_per_head(
    a: Float[Tensor, "batch head token d_head"], b: Float[Tensor, "batch head token d_head"]
) -> Float[Tensor, "batch head"]:
    dtype = at_least_float32(a)
    return torch.einsum("bhtd,bhtd->bh", a.to(dtype), b.to(dtype))


def summarise_heads(scores: HeadScores) -> HeadSummary:
    """Mean over samples, and the standard error of the paper's score q + k."""
    n_samples = scores.q.shape[2]
    if n_samples < 2:
        raise ValueError(
            "scores of 1 sample, expected at least 2: a standard error needs them. "
            "Attribute the feature on more of its top samples."
        )
    score = scores.q + scores.k
    q, k, v, z = (part.mean(2) for part in scores)
    return HeadSummary(
        score=score.mean(2),
        standard_error=score.std(2, correction=1) / n_samples**0.5,
        q=q,
        k=k,
        v=v,
        z=z,
        n_samples=n_samples,
    )


def _require_frozen(model: PreTrainedModel) -> None:
    if model.training or any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "the model is in training mode or has parameters with gradients; attribution "
            "differentiates activations only. Call vlm.freeze(model) first."
        )


def _require_same_shape(clean: Tensor, corrupt: Tensor) -> None:
    if clean.shape != corrupt.shape:
        raise ValueError(
            f"clean embeddings are {list(clean.shape)}, corrupt {list(corrupt.shape)}: both runs "
            "must be the same prompts; replace the image embeddings only."
        )
