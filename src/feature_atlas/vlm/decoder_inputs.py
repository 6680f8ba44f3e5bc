"""What a model's own forward gives its text model: embeddings, masks, positions (paper 3.1).

Families differ in what they do to a prompt before its first layer: pictures look both ways, a
prefix does, positions have three axes, features are added later on. So the model's own forward
runs as far as its text model, and what it hands over there is kept, whole. A clean, a mean-image
and a resampled run differ in the image features alone.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from feature_atlas.vlm.image_features import accepted, image_features
from feature_atlas.vlm.image_rows import ImageFeatures
from feature_atlas.vlm.token_roles import PromptBatch, Role


class DecoderInputs(NamedTuple):
    """One batch of prompts as the text model takes them."""

    embeds: Float[Tensor, "batch token d_model"]
    """Before layer 0, pictures in their places."""
    token_mask: Int[Tensor, "batch token"]
    """1 on tokens, 0 on padding."""
    further: Mapping[str, Any] = {}
    """What else the text model is given: masks, positions, features that are added later."""

    def arguments(self) -> dict[str, Any]:
        """Of the text model's forward."""
        given = {"attention_mask": self.token_mask, **self.further}
        return {"inputs_embeds": self.embeds, "use_cache": False, **given}

    @property
    def last(self) -> Int[Tensor, " batch"]:
        """Place of each prompt's last token: there the answer is predicted."""
        return self.token_mask.sum(1) - 1


class Reached(Exception):  # not an error: the rest of a forward is not needed
    """Raised in a hook where a forward pass has come far enough."""


def text_model(model: PreTrainedModel) -> nn.Module:
    """The decoder stack (embeddings, blocks, final norm) without the unembedding."""
    decoder = model.get_decoder()
    if not hasattr(decoder, "layers"):
        raise TypeError(
            f"{type(model).__name__}.get_decoder() is {type(decoder).__name__} without .layers; "
            "expected a causal text model such as LlamaModel."
        )
    return decoder


def require_image_tokens(model: PreTrainedModel) -> None:
    """The picture stands in the residual stream, in the place of tokens; weights are not needed."""
    name = type(model).__name__
    crossed = getattr(model.config.get_text_config(), "cross_attention_layers", None)
    if crossed:
        raise ValueError(
            f"{name} looks at pictures by cross-attention (layers {list(crossed)}): they are no "
            "tokens of its residual stream, so token roles, visual energy and the mean picture "
            "mean nothing there. Expected a model that puts image features in the place of tokens."
        )
    body = model.base_model
    if not hasattr(body, "get_image_features"):
        raise ValueError(
            f"{name} computes no image features by itself: expected a vision-language model that "
            "puts them in the place of image tokens."
        )
    if "mm_encoder_outputs" not in inspect.signature(body.forward).parameters:
        raise ValueError(
            f"{name} takes no image features from outside in this version of transformers: the "
            "mean picture cannot be put in their place. Expected a class whose forward takes "
            "mm_encoder_outputs."
        )


def decoder_inputs(
    model: PreTrainedModel, batch: PromptBatch, image: ImageFeatures | None = None
) -> DecoderInputs:
    """What the text model gets of a batch; ``image`` stands in the place of its own pictures."""
    if image is None and batch.has_pictures:
        image = image_features(model, batch)
    _require_as_many(model, batch, image)
    body = model.base_model
    given = accepted(body.forward, batch.processed)
    given.pop("pixel_values", None)
    if image is not None:
        given["mm_encoder_outputs"] = {"image": image.output}
    caught = _caught(
        text_model(model),
        lambda: body(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False, **given
        ),
    )
    ids, embeds = caught.pop("input_ids", None), caught.pop("inputs_embeds", None)
    if embeds is None:  # a language model without a vision tower is its own text model
        embeds = model.get_input_embeddings()(ids)
    return DecoderInputs(embeds, batch.attention_mask, caught)


def _caught(decoder: nn.Module, run: Callable[[], object]) -> dict[str, Any]:
    """The arguments that the decoder is called with; it is not run."""
    caught: dict[str, Any] = {}

    def catch(_module: nn.Module, _args: tuple[object, ...], given: dict[str, Any]) -> None:
        caught.update({n: v for n, v in given.items() if v is not None and n not in _OF_THE_CALL})
        raise Reached

    handle = decoder.register_forward_pre_hook(catch, with_kwargs=True)
    try:
        with suppress(Reached):
            run()
    finally:
        handle.remove()
    return caught


_OF_THE_CALL = {"use_cache", "return_dict", "output_attentions", "output_hidden_states"}
"""Arguments that say what to return, not what to compute."""


def _require_as_many(
    model: PreTrainedModel, batch: PromptBatch, image: ImageFeatures | None
) -> None:
    """The features belong to the image tokens, one to one."""
    is_image = batch.roles == Role.IMAGE
    n_slots, n_found = int(is_image.sum()), 0 if image is None else len(image.levels[0])
    if n_slots != n_found:
        raise ValueError(
            f"{n_slots} image tokens in the prompts, {n_found} image embeddings: "
            "patch_size, image size and num_additional_image_tokens of the processor disagree "
            "with the vision tower."
        )
    token = getattr(model.config, "image_token_id", None)
    if n_slots and not torch.equal(is_image, batch.input_ids == token):
        raise ValueError(
            f"the processor writes a picture with the token {int(batch.input_ids[is_image][0])}, "
            f"and the model's configuration says image_token_id {token}: expected one for both."
        )


@contextmanager
def layers_return(model: PreTrainedModel, hidden: Tensor) -> Iterator[None]:
    """Let every layer of the text model return ``hidden``, whatever it gets, until the end.

    Hooks on the layers are not called.
    """
    decoder = cast(Any, text_model(model))
    layers = decoder.layers
    decoder.layers = nn.ModuleList(_StandIn(layer, hidden) for layer in layers)
    try:
        yield
    finally:
        decoder.layers = layers


class _StandIn(nn.Module):
    """Returns the same whatever it gets; else like the layer it stands for."""

    def __init__(self, layer: nn.Module, hidden: Tensor) -> None:
        super().__init__()
        self.__dict__.update(layer=layer, hidden=hidden)  # not as a part of it

    def forward(self, *_args: object, **_given: object) -> Tensor:
        return cast(Tensor, self.hidden)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["layer"], name)
