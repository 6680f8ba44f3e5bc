"""A forward pass taken up again after one of its layers (paper 5.3).

Each layer is called with what it got in the clean run (masks, rotary angles, whatever its family
needs), and what a family adds between layers is added again. So any edit after layer L costs only
the layers above it. Tokens at the beginning that cannot change are not run either: their keys and
values are remembered.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from feature_atlas.vlm.decoder_inputs import DecoderInputs, text_model
from feature_atlas.vlm.head_probe import probed_heads
from feature_atlas.vlm.residual_stream import at_each, decoder_layers, hidden_of, unembed


class LayerCall(NamedTuple):
    """What one layer got in the clean run."""

    added: Float[Tensor, "batch token d_model"] | None
    """Its input less the output of the layer before; None: nothing was added in between."""
    further: Mapping[str, Any]
    """Its other arguments, for the tokens that run."""


class CleanRun(NamedTuple):
    """A clean run read up to layer L, and how to go on from there."""

    layer: int
    """L."""
    residual: Float[Tensor, "batch token d_model"]
    """Output of layer L."""
    top: Float[Tensor, "batch d_model"]
    """Output of the last layer at the last token of each prompt."""
    inputs: DecoderInputs
    """Of the whole run."""
    start: int
    """The first token that runs; none before it can change."""
    calls: Mapping[int, LayerCall]
    """Of each layer above L."""
    past: Mapping[tuple[str, int], Float[Tensor, "batch head past d_head"]]
    """("k" or "v", layer) of the tokens before ``start``."""


@torch.no_grad()
def clean_run(
    model: PreTrainedModel,
    inputs: DecoderInputs,
    layer: int,
    may_change: Bool[Tensor, "batch token"],
) -> CleanRun:
    """Run once, and remember what is needed to run again from layer ``layer``.

    Edits will change tokens of ``may_change`` only, and what these reach.
    """
    outputs, calls = _watched(model, inputs, layer)
    top = outputs[len(decoder_layers(model)) - 1]
    last = at_each(top, inputs.last)
    whole = CleanRun(layer, outputs[layer], last, inputs, 0, calls, {})
    start = int(may_change.any(0).int().argmax())
    if start == 0 or not all(_can_skip(call, start) for call in calls.values()):
        return whole
    past = _read_past(model, whole, start)
    if not all((part, at) in past for part in ("k", "v") for at in calls):
        return whole  # a layer without keys and values, such as linear attention
    late = {at: _cut(call, slice(start, None)) for at, call in calls.items()}
    return whole._replace(start=start, calls=late, past=past)


@torch.no_grad()
def added_between(model: PreTrainedModel, inputs: DecoderInputs) -> list[int]:
    """Layers behind which a family adds something to the residual (DeepStack, to image tokens).

    What a layer's module returns is then not yet what the next one gets.
    """
    _, calls = _watched(model, inputs, 0)
    return [at - 1 for at, call in sorted(calls.items()) if call.added is not None]


def resumed_logits(
    model: PreTrainedModel, run: CleanRun, hidden: Float[Tensor, "batch token d_model"]
) -> Float[Tensor, "batch vocabulary"]:
    """Logits at the last token when ``hidden`` leaves layer L; runs only what it can change.

    Hooks on the layers above are called with the tokens from ``start`` on.
    """

    def recall(part: str, at: int, tensor: Tensor) -> Tensor:
        earlier = run.past.get((part, at))
        return tensor if earlier is None else torch.cat([earlier, tensor], dim=2)

    with probed_heads(model, recall):
        top = _replayed(model, run.layer, run.calls, hidden[:, run.start :])
    return unembed(model, at_each(top, run.inputs.last - run.start))


def _replayed(
    model: PreTrainedModel,
    layer: int,
    calls: Mapping[int, LayerCall],
    hidden: Float[Tensor, "batch token d_model"],
) -> Float[Tensor, "batch token d_model"]:
    blocks = decoder_layers(model)
    for at in range(layer + 1, len(blocks)):
        added, further = calls[at]
        hidden = hidden if added is None else hidden + added
        hidden = hidden_of(blocks[at](hidden, **further))
    return hidden


def _watched(
    model: PreTrainedModel, inputs: DecoderInputs, layer: int
) -> tuple[dict[int, Tensor], dict[int, LayerCall]]:
    """Outputs of layer L and of the last one, and the calls of those above L, in a plain run."""
    blocks = decoder_layers(model)
    outputs: dict[int, Tensor] = {}
    calls: dict[int, LayerCall] = {}

    def before(at: int) -> Callable[..., None]:
        def hook(_module: nn.Module, args: tuple[Tensor, ...], given: dict[str, Any]) -> None:
            (hidden,) = args  # transformers names the others
            below = outputs[at - 1] if at - 1 == layer else outputs.pop(at - 1)
            added = hidden - below
            calls[at] = LayerCall(added if added.any() else None, given)

        return hook

    def after(at: int) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: tuple[object, ...], output: Tensor) -> None:
            outputs[at] = hidden_of(output)

        return hook

    handles = [blocks[at].register_forward_hook(after(at)) for at in range(layer, len(blocks))] + [
        blocks[at].register_forward_pre_hook(before(at), with_kwargs=True)
        for at in range(layer + 1, len(blocks))
    ]
    try:
        text_model(model)(**inputs.arguments())
    finally:
        for handle in handles:
            handle.remove()
    return outputs, calls


def _read_past(
    model: PreTrainedModel, run: CleanRun, start: int
) -> dict[tuple[str, int], Float[Tensor, "batch head past d_head"]]:
    """Keys and values of the tokens before ``start`` in the layers above L."""
    past: dict[tuple[str, int], Tensor] = {}

    def remember(part: str, at: int, tensor: Tensor) -> Tensor:
        if part in ("k", "v"):
            past[part, at] = tensor
        return tensor

    early = {at: _cut(call, slice(0, start)) for at, call in run.calls.items()}
    with probed_heads(model, remember):
        _replayed(model, run.layer, early, run.residual[:, :start])
    return past


_BY_TOKEN = ("attention_mask", "position_ids", "cache_position", "position_embeddings")
"""Arguments of a layer that are known to have a row per token."""


def _can_skip(call: LayerCall, start: int) -> bool:
    """No token before ``start`` sees a later one, and every argument can be cut there."""
    if any(name not in _BY_TOKEN and isinstance(v, Tensor) for name, v in call.further.items()):
        return False
    mask = call.further.get("attention_mask")
    if mask is None:
        return True
    ahead = mask[:, :, :start, start:]
    sees = ahead if mask.dtype == torch.bool else ahead > torch.finfo(mask.dtype).min / 2
    return not bool(sees.any())


def _cut(call: LayerCall, tokens: slice) -> LayerCall:
    """The same call for some of the tokens, which see those before them as well."""
    further = dict(call.further)
    for name in _BY_TOKEN:
        value = further.get(name)
        if value is None:
            continue
        if name == "attention_mask":
            further[name] = value[:, :, tokens, : tokens.stop]
        elif name == "position_embeddings":
            further[name] = tuple(angle[..., tokens, :] for angle in value)
        else:
            further[name] = value[..., tokens]
    return LayerCall(None if call.added is None else call.added[:, tokens], further)
