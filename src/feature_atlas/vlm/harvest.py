"""One forward pass, all layers: residuals of every token with its role and sample (paper 4.1)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.vlm.decoder_inputs import decoder_inputs
from feature_atlas.vlm.image_rows import ImageFeatures
from feature_atlas.vlm.prompt_keys import PromptKeys
from feature_atlas.vlm.residual_stream import residuals
from feature_atlas.vlm.token_roles import PromptBatch, Role

ROLES = tuple(role for role in Role if role != Role.PAD)
"""All that a token can be; padding is none."""


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
    image: ImageFeatures | None = None,
    keys: PromptKeys | None = None,
    roles: Sequence[Role] = ROLES,
) -> Tokens:
    """Residuals after the given layers for every token of a batch, or those of some roles.

    ``image`` stands in the place of the pictures' own features (the mean image, another picture).
    ``keys`` are of what the prompts begin with: only what follows is run, and returned.
    """
    inputs = decoder_inputs(model, batch, image) if keys is None else keys.inputs(model, batch)
    of_token = batch.roles[:, -inputs.embeds.shape[1] :]
    is_wanted = torch.isin(of_token, torch.tensor(roles, device=of_token.device))
    captured = residuals(model, inputs, layers, is_wanted)
    prompt = torch.arange(len(of_token), device=of_token.device)[:, None].expand_as(of_token)
    return Tokens(captured, of_token[is_wanted], prompt[is_wanted])
