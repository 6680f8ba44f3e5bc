"""Features that a vision-language model uses less, beside those that it turns."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from feature_atlas.features.decoder_cosine import decoder_cosine
from feature_atlas.features.latent_scaling import (
    LatentScaling,
    Reader,
    ScalingSums,
    latent_scaling,
)
from planted.atlas import trained_on
from planted.features import D_SAE, TURNED_BY_LANGUAGE, TURNED_BY_VISION, Kind, Planted, plant
from planted.stream import PlantedStream

N_SHRUNK = 32
FACTORS = (0.2, 0.6)
N_QUESTIONS = 2000


class Scaled(NamedTuple):
    """What is measured of a world, and what is true of it."""

    scaling: LatentScaling
    """Of questions, text alone."""
    cosine: Float[Tensor, " d_sae"]
    """Of the decoder, after adaptation to questions with pictures."""
    strength: Float[Tensor, " d_sae"]
    """Planted: how strongly questions fire it, plain text with 1."""
    shrunk: Bool[Tensor, " d_sae"]
    """Planted: fires weaker than in the base model, in its old direction."""
    turned: Bool[Tensor, " d_sae"]
    """Planted: fires as strongly, in a new direction."""


def plant_shrunk(seed: int) -> Planted:
    """A world of which some ordinary features, as frequent as the turned ones, are shrunk."""
    planted, random = plant(seed), torch.Generator().manual_seed(10_000 + seed)
    ordinary = (planted.kind == Kind.ORDINARY).nonzero().flatten()
    chosen = ordinary[torch.randperm(len(ordinary), generator=random)[:N_SHRUNK]]
    strength, rate = torch.ones(D_SAE), planted.word_rate.clone()
    strength[chosen] = torch.empty(N_SHRUNK).uniform_(*FACTORS, generator=random)
    rate[:, chosen] = torch.empty(N_SHRUNK).uniform_(0.01, 0.05, generator=random)
    return planted._replace(strength=strength, word_rate=rate)


def measure_scaling(seed: int) -> Scaled:
    """Adapt to questions with pictures, then let both models read the same questions."""
    planted = plant_shrunk(seed)
    sae = trained_on(planted, "text", 1000 * seed).sae
    stream = PlantedStream(planted, 1000 * seed + 99)
    prompts = stream.questions(N_QUESTIONS)
    of_base, of_vlm = (stream.tokens(prompts, seen).residuals[0] for seen in ("plain", "real"))
    sums = ScalingSums.empty(D_SAE)
    text = torch.zeros(len(of_base), dtype=torch.long)
    sums.add(Reader.of(planted.base), of_base, Reader.of(sae), of_vlm, text)
    return Scaled(
        latent_scaling(sums),
        decoder_cosine(planted.base.w_dec, sae.w_dec),
        planted.strength,
        planted.strength < 1,
        planted.is_any(*TURNED_BY_VISION, *TURNED_BY_LANGUAGE),
    )
