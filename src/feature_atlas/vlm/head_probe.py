"""The text model's attention, looked into: every head's tensors can be seen and replaced.

    z = softmax(q k' / sqrt(d_head) + bias) v    q, k, bias, v, the softmax, z pass through a probe

Keys and values are expanded first, so that query heads of a group differ. Queries and keys come
after the rotary embedding. A probe that changes nothing leaves the model's own attention, up to
rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from feature_atlas.vlm.residual_stream import decoder_layers, residuals, text_model

Part = Literal["q", "k", "v", "z"]
PARTS: tuple[Part, ...] = ("q", "k", "v", "z")

Head = tuple[int, int]
"""(layer, head): L13H1 is (13, 1)."""

Probe = Callable[[str, int, Tensor], Tensor]
"""Sees (part, layer, tensor) and returns what goes on instead.

Part "pattern" is the softmax, part "bias" what is added to its logits, where there is such: the
mask, 0 or hugely negative.
"""


class HeadActivations(NamedTuple):
    """What passed through every head of layers 0 to L in one run, and where it ended.

    L is the highest layer asked for.
    """

    q: tuple[Float[Tensor, "batch head token d_head"], ...]
    """Queries after the rotary embedding, one tensor per layer."""
    k: tuple[Float[Tensor, "batch head token d_head"], ...]
    """Keys after the rotary embedding, one per query head."""
    v: tuple[Float[Tensor, "batch head token d_head"], ...]
    """Values, one per query head."""
    z: tuple[Float[Tensor, "batch head token d_head"], ...]
    """Head outputs before the output projection."""
    bias: tuple[Float[Tensor, "#batch 1 token seen"] | None, ...]
    """The mask added to the logits, per layer; None: nothing was masked."""
    residuals: dict[int, Float[Tensor, "batch token d_model"]]
    """Output of each decoder layer asked for."""

    @property
    def residual(self) -> Float[Tensor, "batch token d_model"]:
        """Output of layer L, the last that ran."""
        return self.residuals[len(self.q) - 1]


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
    bias = None if attention_mask is None else probe("bias", layer, attention_mask)
    pattern = attention_pattern(q, k, bias, scaling)
    z = probe("z", layer, probe("pattern", layer, pattern) @ v)
    return z.transpose(1, 2).contiguous(), pattern


def attention_pattern(
    q: Float[Tensor, "batch head token d_head"],
    k: Float[Tensor, "batch head seen d_head"],
    bias: Float[Tensor, "#batch 1 token seen"] | None,
    scaling: float,
) -> Float[Tensor, "batch head token seen"]:
    """softmax(q k' scaling + bias), in float32 at least, returned in the type of q."""
    logits = q @ k.transpose(-1, -2) * scaling
    if bias is not None:
        logits = logits + bias
    return logits.softmax(-1, dtype=at_least_float32(logits)).to(q.dtype)


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
    layers: Sequence[int],
) -> HeadActivations:
    """Run up to the highest of ``layers`` and keep every head's tensors, in the graph if any."""
    recorded: dict[str, dict[int, Tensor]] = {part: {} for part in (*PARTS, "bias")}

    def probe(part: str, layer: int, tensor: Tensor) -> Tensor:
        if part in recorded:
            recorded[part][layer] = tensor
        return tensor

    with probed_heads(model, probe):
        outputs = residuals(model, inputs_embeds, attention_mask, layers)
    passed = range(max(layers) + 1)
    q, k, v, z = (tuple(recorded[part][layer] for layer in passed) for part in PARTS)
    return HeadActivations(q, k, v, z, tuple(map(recorded["bias"].get, passed)), outputs)


def attention_scaling(model: PreTrainedModel, layer: int) -> float:
    """What the products of queries and keys are multiplied by: 1 / sqrt(d_head)."""
    return float(decoder_layers(model)[layer].self_attn.scaling)


def at_least_float32(tensor: Tensor) -> torch.dtype:
    """The tensor's type, or float32 where that is wider: for softmax and long sums."""
    return torch.promote_types(tensor.dtype, torch.float32)
