"""Which attention heads drive a feature: attribution patching (paper 5.2, C).

    J_f = sum over chosen positions t of y_{L,t} . v_f          v_f: unit decoder direction of f

A clean run (the picture) and a corrupt run (its layer-0 embeddings replaced, by a mean embedding
in the paper) give every head two sets of activations x: the queries, keys and values that enter its
attention, and its output z. Swapping x of one run for the other's changes J_f, to first order, by

    A:  (x_corrupt - x_clean) . dJ_f/dx at clean        what the feature loses without the picture
    B:  (x_clean - x_corrupt) . dJ_f/dx at corrupt      what it gains from the picture

summed over tokens and d_head. Both keep their sign; on a linear model A = -B. The steps:

1. One clean and one corrupt forward pass, stopped after layer L, in which the text model's
   attention is ours: keys and values are expanded first, so that query heads of a group differ.
2. For each direction one backward pass through each of the two; the forward passes are shared.
3. Differences times gradients, per layer up to L, per head, for q, k, v and z.

``exact_patch`` makes the swap for real, one forward pass per head: the referee. Queries and keys
are taken after the rotary embedding, which turns both runs alike and so changes no score.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import product
from typing import Literal, NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from feature_atlas.vlm import residuals, text_model

Part = Literal["q", "k", "v", "z"]
PARTS: tuple[Part, ...] = ("q", "k", "v", "z")

Head = tuple[int, int]
"""(layer, head): L13H1 is (13, 1)."""

Probe = Callable[[str, int, Tensor], Tensor]
"""Sees (part, layer, tensor) and returns what goes on instead. Part "pattern" is the softmax."""


class HeadActivations(NamedTuple):
    """What passed through every head of layers 0 to L in one run, and where it ended."""

    q: tuple[Float[Tensor, "batch head token d_head"], ...]
    """Queries after the rotary embedding, one tensor per layer."""
    k: tuple[Float[Tensor, "batch head token d_head"], ...]
    """Keys after the rotary embedding, one per query head."""
    v: tuple[Float[Tensor, "batch head token d_head"], ...]
    """Values, one per query head."""
    z: tuple[Float[Tensor, "batch head token d_head"], ...]
    """Head outputs before the output projection."""
    residual: Float[Tensor, "batch token d_model"]
    """Output of decoder layer L."""


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


# ---------------------------------------------------------------- attention that can be looked into

_ATTENTION = "feature_atlas_heads"
_probe: ContextVar[Probe] = ContextVar("probe")


def _probed_attention(
    module: nn.Module,
    query: Float[Tensor, "batch head token d_head"],
    key: Float[Tensor, "batch kv_head token d_head"],
    value: Float[Tensor, "batch kv_head token d_head"],
    attention_mask: Float[Tensor, "#batch 1 token seen"] | None,
    scaling: float,
    **_kwargs: object,
) -> tuple[Tensor, Tensor]:
    """Plain softmax attention in which every tensor passes through the probe."""
    probe, layer = _probe.get(), cast(int, module.layer_idx)
    n_groups = query.shape[1] // key.shape[1]
    q = probe("q", layer, query)
    k = probe("k", layer, key.repeat_interleave(n_groups, dim=1))
    v = probe("v", layer, value.repeat_interleave(n_groups, dim=1))
    logits = q @ k.transpose(-1, -2) * scaling
    if attention_mask is not None:
        logits = logits + attention_mask
    pattern = logits.softmax(-1, dtype=_at_least_float32(logits)).to(v.dtype)
    z = probe("z", layer, probe("pattern", layer, pattern) @ v)
    return z.transpose(1, 2).contiguous(), pattern


AttentionInterface.register(_ATTENTION, _probed_attention)
AttentionMaskInterface.register(_ATTENTION, eager_mask)


@contextmanager
def probed_heads(model: PreTrainedModel, probe: Probe) -> Iterator[None]:
    """Let ``probe`` see and replace what flows through the text model's heads, until the end."""
    decoder = cast(PreTrainedModel, text_model(model))
    implementation = decoder.config._attn_implementation
    token = _probe.set(probe)
    decoder.set_attn_implementation(_ATTENTION)
    try:
        yield
    finally:
        decoder.set_attn_implementation(implementation)
        _probe.reset(token)


def record_heads(
    model: PreTrainedModel,
    inputs_embeds: Float[Tensor, "batch token d_model"],
    attention_mask: Int[Tensor, "batch token"],
    layer: int,
) -> HeadActivations:
    """Run up to ``layer`` and keep every head's q, k, v and z, in the graph if there is one."""
    recorded: dict[str, list[Tensor]] = {part: [] for part in PARTS}

    def probe(part: str, _layer: int, tensor: Tensor) -> Tensor:
        if part in recorded:
            recorded[part].append(tensor)
        return tensor

    with probed_heads(model, probe):
        residual = residuals(model, inputs_embeds, attention_mask, [layer])[layer]
    q, k, v, z = (tuple(recorded[part]) for part in PARTS)
    return HeadActivations(q, k, v, z, residual)


# ---------------------------------------------------------------- first order


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
    dtype = _at_least_float32(a)
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


# ---------------------------------------------------------------- the referee


def exact_patch(
    model: PreTrainedModel,
    embeds: Float[Tensor, "batch token d_model"],
    donor_embeds: Float[Tensor, "batch token d_model"],
    attention_mask: Int[Tensor, "batch token"],
    positions: Bool[Tensor, "batch token"],
    layer: int,
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
    *,
    heads: Sequence[Head],
    parts: Sequence[Part],
) -> Float[Tensor, "feature batch"]:
    """Change of J_f when these parts of these heads are taken from the donor run, all at once.

    Method A estimates embeds=clean, donor=corrupt; method B embeds=corrupt, donor=clean.
    """
    with torch.no_grad():
        donor = record_heads(model, donor_embeds, attention_mask, layer)
        before = record_heads(model, embeds, attention_mask, layer).residual
        after = _patched_residual(model, embeds, attention_mask, layer, donor, heads, parts)
        return _objective(after - before, positions, directions)


def exact_patch_each(
    model: PreTrainedModel,
    embeds: Float[Tensor, "batch token d_model"],
    donor_embeds: Float[Tensor, "batch token d_model"],
    attention_mask: Int[Tensor, "batch token"],
    positions: Bool[Tensor, "batch token"],
    layer: int,
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
    *,
    parts: Sequence[Part],
) -> Float[Tensor, "feature batch layer head"]:
    """``exact_patch`` of every head of layers 0 to ``layer``, one at a time."""
    with torch.no_grad():
        donor = record_heads(model, donor_embeds, attention_mask, layer)
        before = record_heads(model, embeds, attention_mask, layer).residual
        n_heads = donor.q[0].shape[1]
        effects = [
            _objective(
                _patched_residual(model, embeds, attention_mask, layer, donor, [head], parts)
                - before,
                positions,
                directions,
            )
            for head in product(range(layer + 1), range(n_heads))
        ]
        return torch.stack(effects, dim=-1).unflatten(-1, (layer + 1, n_heads))


def _patched_residual(
    model: PreTrainedModel,
    embeds: Float[Tensor, "batch token d_model"],
    attention_mask: Int[Tensor, "batch token"],
    layer: int,
    donor: HeadActivations,
    heads: Sequence[Head],
    parts: Sequence[Part],
) -> Float[Tensor, "batch token d_model"]:
    """Output of ``layer`` with the chosen parts of the chosen heads replaced by the donor's."""
    _require_heads(heads, parts, n_layers=layer + 1, n_heads=donor.q[0].shape[1])

    def probe(part: str, at: int, tensor: Tensor) -> Tensor:
        chosen = [h for head_layer, h in heads if head_layer == at]
        if part not in parts or not chosen:
            return tensor
        patched = tensor.clone()
        patched[:, chosen] = getattr(donor, part)[at][:, chosen]
        return patched

    with probed_heads(model, probe):
        return residuals(model, embeds, attention_mask, [layer])[layer]


def _objective(
    residual: Float[Tensor, "batch token d_model"],
    positions: Bool[Tensor, "batch token"],
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
) -> Float[Tensor, "feature batch"]:
    """J_f of every sample."""
    dtype = _at_least_float32(residual)
    pooled = torch.einsum("btd,bt->bd", residual.to(dtype), positions.to(dtype))
    if directions.ndim == 2:
        return torch.einsum("fd,bd->fb", directions.to(pooled), pooled)
    return torch.einsum("fbd,bd->fb", directions.to(pooled), pooled)


# ---------------------------------------------------------------- checks


def _at_least_float32(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


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


def _require_heads(
    heads: Sequence[Head], parts: Sequence[Part], n_layers: int, n_heads: int
) -> None:
    for layer, head in heads:
        if not (0 <= layer < n_layers and 0 <= head < n_heads):
            raise ValueError(
                f"no head L{layer}H{head} here: layers 0 to {n_layers - 1} and heads 0 to "
                f"{n_heads - 1} can be patched; heads above the feature's layer do not reach it."
            )
    unknown = set(parts) - set(PARTS)
    if unknown or not parts:
        raise ValueError(f"unknown parts {sorted(unknown)}; legal are {list(PARTS)}, at least one.")
