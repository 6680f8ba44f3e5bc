"""Swapping parts of attention heads for real: the referee of head attribution (paper 5.2, C).

    effect = J_f with the chosen parts of the chosen heads taken from the donor run - J_f without

J_f is that of ``head_attribution``, whose methods A and B estimate this to first order: A with
donor=corrupt, B with donor=clean. One forward pass per swap, so it is slow and exact.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.vlm.decoder_inputs import DecoderInputs, text_model
from feature_atlas.vlm.head_probe import (
    PARTS,
    Head,
    HeadActivations,
    Part,
    at_least_float32,
    probed_heads,
    record_heads,
)
from feature_atlas.vlm.residual_stream import residuals


def exact_patch(
    model: PreTrainedModel,
    inputs: DecoderInputs,
    donor_inputs: DecoderInputs,
    positions: Bool[Tensor, "batch token"],
    layer: int,
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
    *,
    heads: Sequence[Head],
    parts: Sequence[Part],
) -> Float[Tensor, "feature batch"]:
    """Change of J_f when these parts of these heads are taken from the donor run, all at once.

    Method A estimates inputs=clean, donor=corrupt; method B inputs=corrupt, donor=clean.
    """
    with torch.no_grad():
        donor = record_heads(model, donor_inputs, [layer])
        before = record_heads(model, inputs, [layer]).residual
        with patched_heads(model, donor, heads, parts):
            after = residuals(model, inputs, [layer])[layer]
        return objective(after - before, positions, directions)


def exact_patch_each(
    model: PreTrainedModel,
    inputs: DecoderInputs,
    donor_inputs: DecoderInputs,
    positions: Bool[Tensor, "batch token"],
    layer: int,
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
    *,
    parts: Sequence[Part],
) -> Float[Tensor, "feature batch layer head"]:
    """``exact_patch`` of every head of layers 0 to ``layer``, one at a time."""
    n_heads = text_model(model).config.num_attention_heads
    heads = list(product(range(layer + 1), range(n_heads)))
    effects = exact_patch_heads(
        model, inputs, donor_inputs, positions, layer, directions, heads=heads, parts=parts
    )
    return effects.unflatten(-1, (layer + 1, n_heads))


def exact_patch_heads(
    model: PreTrainedModel,
    inputs: DecoderInputs,
    donor_inputs: DecoderInputs,
    positions: Bool[Tensor, "batch token"],
    layer: int,
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
    *,
    heads: Sequence[Head],
    parts: Sequence[Part],
) -> Float[Tensor, "feature batch patched"]:
    """``exact_patch`` of each of some heads, one at a time; both other runs are shared."""
    _require_heads(heads, parts, layer + 1, text_model(model).config.num_attention_heads)
    with torch.no_grad():
        donor = record_heads(model, donor_inputs, [layer])
        before = record_heads(model, inputs, [layer]).residual
        effects = []
        for head in heads:
            with patched_heads(model, donor, [head], parts):
                after = residuals(model, inputs, [layer])[layer]
            effects.append(objective(after - before, positions, directions))
        return torch.stack(effects, dim=-1)


@contextmanager
def patched_heads(
    model: PreTrainedModel,
    donor: HeadActivations,
    heads: Sequence[Head],
    parts: Sequence[Part],
) -> Iterator[None]:
    """Let the model run with these parts of these heads taken from the donor run, until the end.

    The prompts must be those of the donor run, in the same order.
    """
    _require_heads(heads, parts, n_layers=len(donor.q), n_heads=donor.q[0].shape[1])

    def probe(part: str, at: int, tensor: Tensor) -> Tensor:
        chosen = [h for head_layer, h in heads if head_layer == at]
        if part not in parts or not chosen:
            return tensor
        patched = tensor.clone()
        patched[:, chosen] = getattr(donor, part)[at][:, chosen]
        return patched

    with probed_heads(model, probe):
        yield


def objective(
    residual: Float[Tensor, "batch token d_model"],
    positions: Bool[Tensor, "batch token"],
    directions: Float[Tensor, "feature d_model"] | Float[Tensor, "feature batch d_model"],
) -> Float[Tensor, "feature batch"]:
    """J_f of every sample: what a feature's direction reads, summed over the positions."""
    dtype = at_least_float32(residual)
    pooled = torch.einsum("btd,bt->bd", residual.to(dtype), positions.to(dtype))
    if directions.ndim == 2:
        return torch.einsum("fd,bd->fb", directions.to(pooled), pooled)
    return torch.einsum("fbd,bd->fb", directions.to(pooled), pooled)


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
