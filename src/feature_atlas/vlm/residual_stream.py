"""The residual stream of the text model: read, edited, and turned into answers (paper 3.1, 4.1).

A layer's residual is what its module returns. Families that add something between layers
(DeepStack, to image tokens) do so afterwards: it is then part of the next layer's input.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from feature_atlas.vlm.decoder_inputs import DecoderInputs, Reached, layers_return, text_model


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The transformer blocks of the text model, in order."""
    return text_model(model).layers


def freeze(model: PreTrainedModel) -> PreTrainedModel:
    """Evaluation mode and no gradients on any parameter; the model itself is returned."""
    return model.eval().requires_grad_(False)


def residuals(
    model: PreTrainedModel,
    inputs: DecoderInputs,
    layers: Sequence[int],
    kept: Bool[Tensor, "batch token"] | None = None,
) -> dict[int, Float[Tensor, "batch token d_model"]]:
    """Raw outputs of the chosen decoder layers, by hooks; blocks after the last do not run.

    ``hidden_states[-1]`` would be past the final norm, so hooks are used for every layer alike.
    Of the tokens ``kept`` names, one after another, each layer keeps a copy and no more.
    """
    blocks, captured = decoder_layers(model), dict[int, Tensor]()
    _require_layers(layers, len(blocks))

    def capture(layer: int) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: tuple[object, ...], output: Tensor) -> None:
            hidden = hidden_of(output)
            captured[layer] = hidden if kept is None else hidden[kept]
            if layer == max(layers):
                raise Reached

        return hook

    handles = [blocks[layer].register_forward_hook(capture(layer)) for layer in set(layers)]
    try:
        with suppress(Reached):
            text_model(model)(**inputs.arguments())
    finally:
        for handle in handles:
            handle.remove()
    _require_finite(captured, inputs.token_mask if kept is None else inputs.token_mask[kept])
    return captured


def _require_layers(layers: Sequence[int], n_layers: int) -> None:
    for layer in layers:
        if not 0 <= layer < n_layers:
            raise ValueError(
                f"layer {layer} of a model with {n_layers}: expected 0 to {n_layers - 1}."
            )


def _require_finite(captured: dict[int, Tensor], attention_mask: Tensor) -> None:
    """One infinite activation would spoil every mean it goes into, unseen."""
    is_bad = {
        layer: (~torch.isfinite(hidden).all(-1) & attention_mask.bool()).sum()
        for layer, hidden in captured.items()
    }
    if not torch.stack(list(is_bad.values())).any():  # asked once: the device is waited for
        return
    layer = min(layer for layer, n_bad in is_bad.items() if n_bad)
    raise ValueError(
        f"layer {layer} of the model returns infinity or NaN on {int(is_bad[layer])} tokens: "
        "expected finite activations. Use bfloat16 or float32 (float16 overflows), or repair "
        "the checkpoint."
    )


@contextmanager
def edit_residual(
    model: PreTrainedModel, layer: int, edit: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Replace the output of one decoder layer by ``edit(output)``, a new tensor of its shape."""

    def hook(_module: nn.Module, _args: tuple[object, ...], output: Tensor) -> Tensor:
        return edit(hidden_of(output))

    handle = decoder_layers(model)[layer].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def hidden_of(output: object) -> Tensor:
    """Decoder layers return a bare tensor in transformers 5; ``output[0]`` would be a sample."""
    if not isinstance(output, Tensor):
        raise TypeError(
            f"a decoder layer returned {type(output).__name__}, expected a Tensor: "
            "transformers 5.20 or newer is required."
        )
    return output


def logits(model: PreTrainedModel, inputs: DecoderInputs) -> Float[Tensor, "batch vocabulary"]:
    """Logits at the last token of each prompt: where the answer is predicted."""
    top = len(decoder_layers(model)) - 1
    hidden = residuals(model, inputs, [top])[top]
    return unembed(model, at_each(hidden, inputs.last))


def at_each(
    hidden: Float[Tensor, "batch token d_model"], token: Int[Tensor, " batch"]
) -> Float[Tensor, "batch d_model"]:
    """One token of each prompt; numbers of the CPU would make a device wait for them."""
    return hidden[torch.arange(len(hidden), device=hidden.device), token]


def unembed(
    model: PreTrainedModel, hidden: Float[Tensor, "batch d_model"]
) -> Float[Tensor, "batch vocabulary"]:
    """Logits of what the last layer returned, by the model's own norm, unembedding and caps.

    The model runs on a prompt of one token whose layers all return what is given.
    """
    image_token = getattr(model.config, "image_token_id", None)
    token = torch.full((len(hidden), 1), int(image_token == 0), device=hidden.device)
    with layers_return(model, hidden.unsqueeze(1)):
        found = model(input_ids=token, attention_mask=torch.ones_like(token), use_cache=False)
    return found.logits[:, -1]
