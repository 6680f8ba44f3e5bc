"""At which tokens a feature's projection is summed: the t of J_f (paper 5.2, C).

    J_f = sum over chosen positions t of y_{L,t} . v_f

The paper takes the text. A feature that fires on one token is diluted there by all the others, and
the last token is where the answer is read: so the choice is stored with what was measured.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.vlm.token_roles import TEXT_ROLES, Role

Positions = Literal["text", "question", "last", "strongest"]
"""All text after the image; the question's own tokens; the last token; the text token on which
the feature is most active."""


def role_positions(
    roles: Int[Tensor, "batch token"], kind: Positions
) -> Bool[Tensor, "batch token"]:
    """Positions that depend on the prompt alone; for "strongest" those among which to look."""
    text = torch.isin(roles, torch.tensor(TEXT_ROLES, device=roles.device))
    if kind == "question":
        return roles == Role.QUESTION
    if kind == "last":
        last = (roles != Role.PAD).long().cumsum(1).argmax(1)
        return torch.zeros_like(text).scatter(1, last.unsqueeze(1), True)
    return text


def strongest_positions(
    residual: Float[Tensor, "batch token d_model"],
    among: Bool[Tensor, "batch token"],
    detectors: Float[Tensor, "feature batch d_model"],
) -> Bool[Tensor, "feature batch token"]:
    """Of each feature and sample the one token whose encoder product is largest.

    ``detectors`` are encoder columns; what all tokens have in common (bias, scale) chooses nothing.
    """
    products = torch.einsum("btd,fbd->fbt", residual, detectors.to(residual))
    best = products.masked_fill(~among, -torch.inf).argmax(-1, keepdim=True)
    return torch.zeros_like(products, dtype=torch.bool).scatter(2, best, True)
