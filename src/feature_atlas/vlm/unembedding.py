"""What a direction of the residual stream adds to the logits by itself (beside paper 4.2).

After the last layer a residual x becomes logits through the final norm and the unembedding:

    z = U (w * (x - mean(x)) / std(x))        LayerNorm
    z = U (w * x / rms(x))                    RMSNorm

Where the norm's divisor is held fixed this is a matrix, `Unembedding.weight`, for residuals of root
mean square 1. Softmax does not see what is added to all logits alike, so the mean over tokens is
taken off. What a family does behind, a soft cap, is monotone and leaves the order as it is. The
scale of Gemma's embeddings is on the way in alone.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from feature_atlas.vlm.decoder_inputs import text_model

NORMS = ("norm", "final_layernorm")
"""What families call the norm behind the last layer."""


class Unembedding(NamedTuple):
    """From the direction of a residual to logits."""

    weight: Float[Tensor, "token d_model"]
    """U with the norm's gain, less its mean over tokens; float32."""

    def effects(
        self, directions: Float[Tensor, "direction d_model"]
    ) -> Float[Tensor, "direction token"]:
        """What each direction adds to every token's logit, in a residual of root mean square 1."""
        return directions @ self.weight.T


@torch.no_grad()
def unembedding(model: PreTrainedModel, n_tokens: int) -> Unembedding:
    """Of the first tokens of the vocabulary: those that the tokenizer has; others are padding."""
    head = model.get_output_embeddings()
    norm = _final_norm(model)
    weight = head.weight[:n_tokens].to(torch.float32, copy=True)  # two gigabytes of a large model
    weight *= _gain(norm, weight)
    if isinstance(norm, nn.LayerNorm):
        weight -= weight.mean(1, keepdim=True)  # as the direction's own mean is taken off
    weight -= weight.mean(0)
    return Unembedding(weight)


def _final_norm(model: PreTrainedModel) -> nn.Module:
    body = text_model(model)
    for name in NORMS:
        norm = getattr(body, name, None)
        if isinstance(norm, nn.Module):
            return norm
    raise TypeError(
        f"{type(body).__name__} has none of {', '.join(NORMS)}: expected a text model with a norm "
        "behind its last layer."
    )


def _gain(norm: nn.Module, like: Tensor) -> Float[Tensor, " d_model"]:
    """What the norm multiplies with: families store the gain itself or what it exceeds 1 by."""
    if isinstance(norm, nn.LayerNorm):
        return norm.weight.float()
    gain: Tensor = norm(torch.ones_like(like[:1]))[0]
    return gain.float()
