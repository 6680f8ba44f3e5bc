"""The text model's attention, looked into: every head's tensors can be seen and replaced.

    z = softmax(q k' / sqrt(d_head) + bias) v    q, k, bias, v, the softmax, z pass through a probe

Keys and values are expanded first, so that query heads of a group differ. Queries and keys come
after the rotary embedding. A probe that changes nothing leaves the model's own attention, up to
rounding: soft caps are computed, and attention with more to it than that is refused.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask

from feature_atlas.vlm.decoder_inputs import DecoderInputs, text_model
from feature_atlas.vlm.residual_stream import decoder_layers, residuals

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
    attention_mask: Tensor | None,
    scaling: float,
    softcap: float | None = None,
    **further: object,
) -> tuple[Tensor, Tensor]:
    """Plain softmax attention in which every tensor passes through the probe."""
    _require_plain(module, further)
    probe, layer = _probe.get(), cast(int, module.layer_idx)
    n_groups = query.shape[1] // key.shape[1]
    q = probe("q", layer, query)
    k = probe("k", layer, key.repeat_interleave(n_groups, dim=1))
    v = probe("v", layer, value.repeat_interleave(n_groups, dim=1))
    bias = _bias(attention_mask, q, k, is_causal=getattr(module, "is_causal", True))
    bias = None if bias is None else probe("bias", layer, bias)
    pattern = attention_pattern(q, k, bias, scaling, softcap)
    z = probe("z", layer, probe("pattern", layer, pattern) @ v)
    return z.transpose(1, 2).contiguous(), pattern


def _bias(
    mask: Tensor | None,
    q: Float[Tensor, "batch head token d_head"],
    k: Float[Tensor, "batch head seen d_head"],
    *,
    is_causal: bool,
) -> Float[Tensor, "#batch 1 token seen"] | None:
    """What is added to the logits: 0, or hugely negative where a token may not look.

    Masks come in the form of the attention that the model was loaded with: added already, or true
    where a token may look, or none where causality is all there is to them.
    """
    if mask is None and is_causal and q.shape[2] > 1:
        may_look = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device)
        mask = may_look.tril(k.shape[2] - q.shape[2])[None, None]
    if mask is None or mask.dtype != torch.bool:
        return mask
    bias = torch.zeros(mask.shape, dtype=q.dtype, device=q.device)
    return bias.masked_fill(~mask, torch.finfo(q.dtype).min)


_IN_THE_MASK = {"sliding_window", "is_causal", "position_ids", "cache_position", "cu_seq_lens_q"}
_WITHOUT_EFFECT = {"dropout", "use_cache", "output_attentions", "output_hidden_states"}


def _require_plain(module: nn.Module, further: Mapping[str, object]) -> None:
    """Whatever else a family gives its attention would change it."""
    known = _IN_THE_MASK | _WITHOUT_EFFECT
    odd = sorted(name for name, value in further.items() if value is not None and name not in known)
    if odd:
        raise ValueError(
            f"{type(module).__name__} is given {', '.join(odd)}: expected softmax attention with "
            "a mask, a scale and a soft cap. Heads of this family cannot be looked into: leave "
            "the head stages out."
        )


def attention_pattern(
    q: Float[Tensor, "batch head token d_head"],
    k: Float[Tensor, "batch head seen d_head"],
    bias: Float[Tensor, "#batch 1 token seen"] | None,
    scaling: float,
    softcap: float | None = None,
) -> Float[Tensor, "batch head token seen"]:
    """softmax(c tanh(q k' scaling / c) + bias), c the soft cap if there is one.

    In float32 at least, returned in the type of q.
    """
    logits = q @ k.transpose(-1, -2) * scaling
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    if bias is not None:
        logits = logits + bias
    return logits.softmax(-1, dtype=at_least_float32(logits)).to(q.dtype)


AttentionInterface.register(_ATTENTION, _probed_attention)
AttentionMaskInterface.register(_ATTENTION, eager_mask)


@contextmanager
def probed_heads(model: PreTrainedModel, probe: Probe) -> Iterator[None]:
    """Let ``probe`` see and replace what flows through the text model's heads, until the end.

    Within another one it sees what that one lets through.
    """
    outer = _probe.get(None)

    def within(part: str, layer: int, tensor: Tensor) -> Tensor:
        return probe(part, layer, tensor if outer is None else outer(part, layer, tensor))

    token = _probe.set(within)
    try:
        with attention_by(model, _ATTENTION):
            yield
    finally:
        _probe.reset(token)


@contextmanager
def attention_by(model: PreTrainedModel, implementation: str) -> Iterator[None]:
    """Let the text model's attention be computed by one of transformers' implementations."""
    decoder = cast(PreTrainedModel, text_model(model))
    before = decoder.config._attn_implementation
    decoder.set_attn_implementation(implementation)
    try:
        yield
    finally:
        decoder.set_attn_implementation(before)


def record_heads(
    model: PreTrainedModel, inputs: DecoderInputs, layers: Sequence[int]
) -> HeadActivations:
    """Run up to the highest of ``layers`` and keep every head's tensors, in the graph if any."""
    recorded: dict[str, dict[int, Tensor]] = {part: {} for part in (*PARTS, "bias")}

    def probe(part: str, layer: int, tensor: Tensor) -> Tensor:
        if part in recorded:
            recorded[part][layer] = tensor
        return tensor

    with probed_heads(model, probe):
        outputs = residuals(model, inputs, layers)
    passed = range(max(layers) + 1)
    _require_heads_seen(model, recorded["q"], passed)
    q, k, v, z = (tuple(recorded[part][layer] for layer in passed) for part in PARTS)
    return HeadActivations(q, k, v, z, tuple(map(recorded["bias"].get, passed)), outputs)


def _require_heads_seen(
    model: PreTrainedModel, seen: Mapping[int, Tensor], passed: Sequence[int]
) -> None:
    """A layer without softmax attention, or one that computes it by itself, shows no heads."""
    for layer in passed:
        if layer not in seen:
            raise ValueError(
                f"layer {layer} of {type(model).__name__} has no attention heads that can be "
                "looked into: leave the head stages out."
            )


def attention_scaling(model: PreTrainedModel, layer: int) -> float:
    """What the products of queries and keys are multiplied by: 1 / sqrt(d_head)."""
    return float(decoder_layers(model)[layer].self_attn.scaling)


def attention_softcap(model: PreTrainedModel, layer: int) -> float | None:
    """c of the soft cap on the logits, where a family has one (Gemma 2)."""
    return cast(
        float | None,
        getattr(decoder_layers(model)[layer].self_attn, "attn_logit_softcapping", None),
    )


def at_least_float32(tensor: Tensor) -> torch.dtype:
    """The tensor's type, or float32 where that is wider: for softmax and long sums."""
    return torch.promote_types(tensor.dtype, torch.float32)
