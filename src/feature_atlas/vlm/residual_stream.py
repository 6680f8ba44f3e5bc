"""The vision-language model as a stream of residuals (paper 3.1, 4.1).

The only file that knows how transformers names a VLM's modules. Image embeddings are spliced into
a prompt (`token_roles`) by hand, and the text model runs from embeddings: so a clean run, a
mean-image run and a run without an image differ in one tensor.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from feature_atlas.vlm.token_roles import PromptBatch, Role


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The transformer blocks of the text model, in order."""
    return text_model(model).layers


def text_model(model: PreTrainedModel) -> nn.Module:
    """The decoder stack (embeddings, blocks, final norm) without the unembedding."""
    decoder = model.get_decoder()
    if not hasattr(decoder, "layers"):
        raise TypeError(
            f"{type(model).__name__}.get_decoder() is {type(decoder).__name__} without .layers; "
            "expected a causal text model such as LlamaModel."
        )
    return decoder


def freeze(model: PreTrainedModel) -> PreTrainedModel:
    """Evaluation mode and no gradients on any parameter; the model itself is returned."""
    return model.eval().requires_grad_(False)


def image_embeddings(
    model: PreTrainedModel, pixel_values: Float[Tensor, "batch channel height width"]
) -> Float[Tensor, "batch patch d_model"]:
    """Projector outputs: what the text model sees of an image, before layer 0."""
    features = model.get_image_features(pixel_values=pixel_values.to(model.dtype))
    projected = features if isinstance(features, (list, tuple)) else features.pooler_output
    return torch.stack(list(projected)) if isinstance(projected, (list, tuple)) else projected


def input_embeddings(
    model: PreTrainedModel,
    batch: PromptBatch,
    image_embeds: Float[Tensor, "batch patch d_model"] | None = None,
) -> Float[Tensor, "batch token d_model"]:
    """Token embeddings with the image embeddings spliced in where the role is IMAGE."""
    is_image = batch.roles == Role.IMAGE
    embeds = model.get_input_embeddings()(batch.input_ids)
    if image_embeds is None:
        if is_image.any():
            raise ValueError("the prompts have image tokens but no image embeddings were given.")
        return embeds
    n_slots, n_patches = int(is_image.sum()), image_embeds.shape[0] * image_embeds.shape[1]
    if n_slots != n_patches:
        raise ValueError(
            f"{n_slots} image tokens in the prompts, {n_patches} image embeddings: "
            "patch_size, image size and num_additional_image_tokens of the processor disagree "
            "with the vision tower."
        )
    return embeds.masked_scatter(is_image.unsqueeze(-1), image_embeds.to(embeds.dtype))


@contextmanager
def stop_after(model: PreTrainedModel, layer: int) -> Iterator[None]:
    """Run the text model only up to decoder layer ``layer`` (0-based); later blocks are skipped."""
    decoder = text_model(model)
    n_layers = decoder.config.num_hidden_layers
    if not 0 <= layer < n_layers:
        raise ValueError(f"layer {layer} of a model with {n_layers}: expected 0 to {n_layers - 1}.")
    decoder.config.num_hidden_layers = layer + 1
    try:
        yield
    finally:
        decoder.config.num_hidden_layers = n_layers


def residuals(
    model: PreTrainedModel,
    inputs_embeds: Float[Tensor, "batch token d_model"],
    attention_mask: Int[Tensor, "batch token"],
    layers: Sequence[int],
) -> dict[int, Float[Tensor, "batch token d_model"]]:
    """Raw outputs of the chosen decoder layers, by hooks, stopping after the last one.

    ``hidden_states[-1]`` would be past the final norm, so hooks are used for every layer alike.
    """
    captured: dict[int, Tensor] = {}
    blocks = decoder_layers(model)

    def capture(layer: int) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: tuple[object, ...], output: Tensor) -> None:
            captured[layer] = _hidden(output)

        return hook

    handles = [blocks[layer].register_forward_hook(capture(layer)) for layer in layers]
    try:
        with stop_after(model, max(layers)):
            text_model(model)(
                inputs_embeds=inputs_embeds, attention_mask=attention_mask, use_cache=False
            )
    finally:
        for handle in handles:
            handle.remove()
    _require_finite(captured, attention_mask)
    return captured


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
        return edit(_hidden(output))

    handle = decoder_layers(model)[layer].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _hidden(output: object) -> Tensor:
    """Decoder layers return a bare tensor in transformers 5; ``output[0]`` would be a sample."""
    if not isinstance(output, Tensor):
        raise TypeError(
            f"a decoder layer returned {type(output).__name__}, expected a Tensor: "
            "transformers 5.20 or newer is required."
        )
    return output


def logits(
    model: PreTrainedModel,
    inputs_embeds: Float[Tensor, "batch token d_model"],
    attention_mask: Int[Tensor, "batch token"],
) -> Float[Tensor, "batch vocabulary"]:
    """Logits at the last token of each prompt: where the answer is predicted."""
    hidden = text_model(model)(
        inputs_embeds=inputs_embeds, attention_mask=attention_mask, use_cache=False
    ).last_hidden_state
    last = attention_mask.sum(1) - 1
    return model.get_output_embeddings()(hidden[torch.arange(len(hidden)), last])
