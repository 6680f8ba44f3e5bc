"""What fires on one prompt: the strongest features of every token, and of a part of it (3.2, 4.2).

Lengths of contributions are comparable across layers, but some features are always loud. So there
is a second measure, how unusual an activation is:

    u_f(t) = a_f(t) / sqrt( mean of a_f^2 over a run's tokens of this kind on which f fires )

1: as strong as it usually is when it fires at all. NaN: the run has never seen it fire there.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes


class UsualStrength(NamedTuple):
    """How strongly each feature of a layer fires when it does; NaN: never."""

    image: Float[Tensor, " d_sae"]
    """On image tokens."""
    text: Float[Tensor, " d_sae"]
    """On the text behind the picture."""


def usual_strength(
    energy: Float[Tensor, " d_sae"], n_tokens: int, fired: Int[Tensor, " d_sae"]
) -> Float[Tensor, " d_sae"]:
    """Root mean square activation over the tokens on which a feature fires.

    ``energy`` is the mean square over all ``n_tokens``, silent ones included.
    """
    return (energy.double() * n_tokens / fired).sqrt().where(fired > 0, torch.nan).float()


def times_usual(
    codes: SparseCodes, is_image: Bool[Tensor, " token"], usual: UsualStrength
) -> SparseCodes:
    """The codes with u_f(t) in the place of activations."""
    of_kind = torch.where(is_image[:, None], usual.image[codes.indices], usual.text[codes.indices])
    return codes._replace(values=(codes.values / of_kind).where(codes.values > 0, 0.0))


def strongest_of_tokens(strength: SparseCodes, n: int) -> Int[Tensor, "token n"]:
    """Places in the code of each token's strongest features, strongest first.

    Fewer than ``n`` where no token has so many; places without a strength come last.
    """
    values = strength.values.nan_to_num(nan=0.0)
    return values.topk(min(n, values.shape[1]), dim=1).indices


def peaks(
    strength: SparseCodes, of_part: Bool[Tensor, " token"], d_sae: int
) -> Float[Tensor, " d_sae"]:
    """Each feature's largest strength on some of the tokens; 0: silent, or nothing to say."""
    values, indices = strength.values[of_part].nan_to_num(nan=0.0), strength.indices[of_part]
    found = values.new_zeros(d_sae)
    return found.scatter_reduce_(0, indices.flatten(), values.flatten(), "amax")


def on_every_token(
    codes: SparseCodes, features: Int[Tensor, " feature"]
) -> Float[Tensor, "feature token"]:
    """Values of some features; 0: silent."""
    is_it = codes.indices[None] == features[:, None, None]
    return codes.values[None].where(is_it, 0.0).sum(-1)
