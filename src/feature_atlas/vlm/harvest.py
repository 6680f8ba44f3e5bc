"""One forward pass, all layers: residuals of every token with its role and sample (paper 4.1)."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.vlm.residual_stream import image_embeddings, input_embeddings, residuals
from feature_atlas.vlm.token_roles import PromptBatch, Role


class Tokens(NamedTuple):
    """The tokens of one batch of prompts, padding dropped, prompts one after another."""

    residuals: dict[int, Float[Tensor, "token d_model"]]
    """Raw output of each decoder layer."""
    roles: Int[Tensor, " token"]
    """A Role per token."""
    prompt: Int[Tensor, " token"]
    """Which prompt of the batch the token belongs to."""

    def only(self, roles: Sequence[Role]) -> "Tokens":
        """The tokens of the given roles."""
        keep = torch.isin(self.roles, torch.tensor(roles, device=self.roles.device))
        return Tokens(
            {layer: x[keep] for layer, x in self.residuals.items()},
            self.roles[keep],
            self.prompt[keep],
        )


@torch.no_grad()
def harvest(
    model: PreTrainedModel,
    batch: PromptBatch,
    layers: Sequence[int],
    *,
    image_embeds: Float[Tensor, "batch patch d_model"] | None = None,
) -> Tokens:
    """Residuals after the given layers for every token of a batch.

    ``image_embeds`` replaces the picture's own embeddings (the mean image, another image); by
    default they are computed from the batch's pixels.
    """
    if image_embeds is None and batch.pixel_values is not None:
        image_embeds = image_embeddings(model, batch.pixel_values)
    embeds = input_embeddings(model, batch, image_embeds)
    captured = residuals(model, embeds, batch.attention_mask, layers)
    is_token = batch.roles != Role.PAD
    prompt = torch.arange(len(batch.roles), device=is_token.device)[:, None].expand_as(is_token)
    return Tokens(
        {layer: x[is_token] for layer, x in captured.items()},
        batch.roles[is_token],
        prompt[is_token],
    )


@torch.no_grad()
def mean_image_embedding(
    model: PreTrainedModel, batches: Iterator[PromptBatch]
) -> Float[Tensor, "patch d_model"]:
    """Mean projector output at each patch position over many images (corrupt run, paper 5.2)."""
    total, n_images = None, 0
    for batch in batches:
        if batch.pixel_values is None:
            raise ValueError("a batch without images: the mean image needs pixel values.")
        embeds = image_embeddings(model, batch.pixel_values).double()
        total = embeds.sum(0) if total is None else total + embeds.sum(0)
        n_images += len(embeds)
    if total is None:
        raise ValueError("no images: the mean image embedding needs at least one.")
    return (total / n_images).to(model.dtype)
