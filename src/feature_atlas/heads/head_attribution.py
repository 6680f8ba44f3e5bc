"""Which attention heads drive a feature: attribution patching (paper 5.2, C).

    J_f = sum over chosen positions t of y_{L,t} . v_f          v_f: unit decoder direction of f

A clean run (the picture) and a corrupt run (its layer-0 embeddings replaced, by a mean embedding
in the paper) give every head two sets of activations x: the queries, keys and values that enter its
attention, and its output z. Swapping x of one run for the other's changes J_f, to first order, by

    A:  (x_corrupt - x_clean) . dJ_f/dx at clean        what the feature loses without the picture
    B:  (x_clean - x_corrupt) . dJ_f/dx at corrupt      what it gains from the picture

summed over tokens and d_head. Both keep their sign; on a linear model A = -B. The steps:

1. One forward pass of both runs together, stopped after the highest layer L asked for, in which
   the text model's attention is that of ``head_probe``: query heads of a group have keys and
   values of their own. All features of these samples share it, whatever their layer.
2. For each direction one backward pass through it.
3. Differences times gradients, per layer up to L, per head, for q, k, v and z.

Where the softmax is saturated its gradient vanishes, and q and k seem to do nothing. The QK fix
(Kramar et al. 2024) goes round it: the softmax itself is computed with the other run's q, k or
both,

    fix = (pattern with them - pattern) . dJ_f/dpattern = (pattern with them - pattern) v . dJ_f/dz

so it costs one softmax per head and swap, however many features there are.

``exact_patch`` makes the swap for real, one forward pass per head: the referee. Queries and keys
are taken after the rotary embedding, which turns both runs alike and so changes no score.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.vlm.decoder_inputs import DecoderInputs
from feature_atlas.vlm.head_probe import (
    PARTS,
    HeadActivations,
    at_least_float32,
    attention_pattern,
    attention_scaling,
    attention_softcap,
    record_heads,
)


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
    q_fix: Float[Tensor, "method feature batch layer head"]
    """Its queries, through a softmax computed anew: right where that is saturated."""
    k_fix: Float[Tensor, "method feature batch layer head"]
    """Its keys, likewise."""
    qk_fix: Float[Tensor, "method feature batch layer head"]
    """Queries and keys at once, likewise; q and k act together, so it is not q_fix + k_fix."""


class CleanAndCorruptRuns(NamedTuple):
    """The clean and the corrupt run of some prompts, and how they differ."""

    heads: HeadActivations
    """Both runs in one batch, the clean prompts first, with the graph of their gradients."""
    by_part: tuple[Float[Tensor, "both head part inner"], ...]
    """Per layer, x_there - x_here for q, k and v, tokens and d_head in one axis."""
    by_output: tuple[Float[Tensor, "both head swap inner"], ...]
    """Per layer, the same of z when all, q, k, or q and k are swapped."""

    def without_graph(self) -> "CleanAndCorruptRuns":
        """The differences alone."""
        return self._replace(heads=HeadActivations((), (), (), (), (), {}))


class SwapScores(NamedTuple):
    """Estimates of real swaps, one for each that `exact_patch` makes; index 0 is A, 1 is B."""

    qk: Float[Tensor, "method feature batch layer head"]
    """Its queries and keys at once."""
    v: Float[Tensor, "method feature batch layer head"]
    """Its values."""
    z: Float[Tensor, "method feature batch layer head"]
    """Its output."""


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
    q_fix: Float[Tensor, "method feature layer head"]
    """Mean over samples."""
    k_fix: Float[Tensor, "method feature layer head"]
    """Mean over samples."""
    qk_fix: Float[Tensor, "method feature layer head"]
    """Mean over samples."""
    n_samples: int
    """How many samples were averaged."""


def attribute_heads(
    model: PreTrainedModel,
    both: DecoderInputs,
    positions: Bool[Tensor, "batch token"],
    layer: int,
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
) -> HeadScores:
    """Methods A and B for every head of layers 0 to ``layer``: q, k, v, z and the QK fix (5.2).

    ``directions`` are unit decoder rows. All of them share the forward pass; each costs one
    backward pass. With shape [1, batch, d_model] every sample has a direction of its own: so the
    top samples of many features go through in one batch.
    """
    runs = run_clean_and_corrupt(model, both, [layer])
    return head_scores(runs, positions, layer, directions)


def run_clean_and_corrupt(
    model: PreTrainedModel,
    both: DecoderInputs,
    layers: Sequence[int],
) -> CleanAndCorruptRuns:
    """The clean and the corrupt run up to the highest of ``layers``, in one pass.

    ``both`` are the same prompts twice, first the clean ones, then the corrupt.
    """
    _require_frozen(model)
    _require_twice(both)
    embeds = both.embeds.detach()
    with torch.enable_grad():
        heads = record_heads(model, both._replace(embeds=embeds.requires_grad_()), layers)
    with torch.no_grad():
        by_part, by_output = [], []
        for layer in range(len(heads.q)):
            parts, outputs = _differences(model, heads, layer)
            by_part.append(parts)
            by_output.append(outputs)
    return CleanAndCorruptRuns(heads, tuple(by_part), tuple(by_output))


def head_scores(
    both: CleanAndCorruptRuns,
    positions: Bool[Tensor, "batch token"] | Bool[Tensor, "feature batch token"],
    layer: int,
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
) -> HeadScores:
    """Scores of features of one of the layers that ``both`` ran with, one backward pass each.

    Positions may be every feature's own, such as the token on which it is most active.
    """
    of_rows = scores_of_rows(both, positions, layer, directions)
    return HeadScores(*of_rows.unflatten(2, (2, -1)).transpose(1, 2))


def scores_of_rows(
    runs: CleanAndCorruptRuns,
    positions: Bool[Tensor, "batch token"] | Bool[Tensor, "feature batch token"],
    layer: int,
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
) -> Float[Tensor, "score feature row layer head"]:
    """The scores of `HeadScores` for every row of the runs: its difference times its gradient.

    A part that nothing goes back to, as under `relevance_rules`, has gradient 0.
    """
    heads = runs.heads
    inputs = [x for of_layer in zip(*heads[: len(PARTS)], strict=True) for x in of_layer]
    inputs = inputs[: len(PARTS) * (layer + 1)]
    residual = heads.residuals[layer]
    scores = []
    for cotangent in _cotangents(residual, positions, directions):
        found = torch.autograd.grad(
            residual, inputs, cotangent, retain_graph=True, materialize_grads=True
        )
        with torch.no_grad():
            scores.append(
                torch.stack(
                    [
                        _dot(found[len(PARTS) * at : len(PARTS) * (at + 1)], runs, at)
                        for at in range(layer + 1)
                    ]
                )
            )
    return torch.stack(scores).permute(2, 0, 3, 1, 4)


def first_order(scores: HeadScores) -> SwapScores:
    """By gradients alone."""
    return SwapScores(scores.q + scores.k, scores.v, scores.z)


def through_softmax(scores: HeadScores) -> SwapScores:
    """Queries and keys by the softmax computed anew: the QK fix."""
    return SwapScores(scores.qk_fix, scores.v, scores.z)


def _differences(
    model: PreTrainedModel, heads: HeadActivations, layer: int
) -> tuple[Float[Tensor, "both head part inner"], Float[Tensor, "both head swap inner"]]:
    """What swapping the runs changes in one layer: q, k, v; then z by all, q, k, and q and k."""
    q, k, v, z = (getattr(heads, part)[layer].detach() for part in PARTS)
    scale, cap = attention_scaling(model, layer), attention_softcap(model, layer)
    other_q, other_k = _swapped(q), _swapped(k)
    z_fixed = [
        attention_pattern(*swap, heads.bias[layer], scale, cap) @ v
        for swap in ((other_q, k), (q, other_k), (other_q, other_k))
    ]
    return (
        torch.stack([(_swapped(x) - x).flatten(2) for x in (q, k, v)], dim=2),
        torch.stack([(there - z).flatten(2) for there in (_swapped(z), *z_fixed)], dim=2),
    )


def _swapped(x: Float[Tensor, "both *rest"]) -> Float[Tensor, "both *rest"]:
    """The other run's in the place of each."""
    return x.roll(len(x) // 2, 0)


def _cotangents(
    residual: Float[Tensor, "row token d_model"],
    positions: Bool[Tensor, "batch token"] | Bool[Tensor, "feature batch token"],
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
) -> Iterator[Float[Tensor, "row token d_model"]]:
    """dJ_f/dy for each feature: v_f at the chosen positions, nothing elsewhere, in every run."""
    for number, direction in enumerate(directions.to(residual)):
        chosen = positions if positions.ndim == 2 else positions[number]
        once = chosen.unsqueeze(-1) * direction.unsqueeze(-2)
        yield once.repeat(len(residual) // len(once), 1, 1)


def _dot(
    gradients: Sequence[Float[Tensor, "row head token d_head"]],
    runs: CleanAndCorruptRuns,
    layer: int,
) -> Float[Tensor, "score row head"]:
    """(x_there - x_here) . dJ/dx at here, summed over tokens and d_head, for every score."""
    of_parts = torch.stack([g.flatten(2) for g in gradients[:3]], dim=2)
    dtype = at_least_float32(of_parts)
    by_part = (runs.by_part[layer].to(dtype) * of_parts.to(dtype)).sum(-1)
    of_output = gradients[3].flatten(2).to(dtype).unsqueeze(-1)
    by_output = (runs.by_output[layer].to(dtype) @ of_output).squeeze(-1)
    return torch.cat([by_part, by_output], dim=-1).permute(2, 0, 1)


def summarise_heads(scores: HeadScores) -> HeadSummary:
    """Mean over samples, and the standard error of the paper's score q + k."""
    n_samples = scores.q.shape[2]
    if n_samples < 2:
        raise ValueError(
            "scores of 1 sample, expected at least 2: a standard error needs them. "
            "Attribute the feature on more of its top samples."
        )
    score = scores.q + scores.k
    return HeadSummary(
        score=score.mean(2),
        standard_error=score.std(2, correction=1) / n_samples**0.5,
        **{name: part.mean(2) for name, part in scores._asdict().items()},
        n_samples=n_samples,
    )


def _require_frozen(model: PreTrainedModel) -> None:
    if model.training or any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "the model is in training mode or has parameters with gradients; attribution "
            "differentiates activations only. Call vlm.freeze(model) first."
        )


def _require_twice(both: DecoderInputs) -> None:
    clean, corrupt = both.token_mask.chunk(2)
    if not torch.equal(clean, corrupt):
        raise ValueError(
            f"clean prompts are {list(clean.shape)}, corrupt {list(corrupt.shape)}, or padded "
            "otherwise: both runs must be the same prompts; replace the image features only."
        )
