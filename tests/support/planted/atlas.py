"""What the atlas measures in a planted world: the pipeline's own functions, without a transformer.

The order is the pipeline's: three dictionaries are adapted (VLM with pictures, refit on base text,
language without pictures), compared with the base, read under three conditions, and the candidates
asked again with neutral prompts.
"""

from typing import NamedTuple

import torch
from made_up.training import trained
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.dictionary.sae import Sae, encode
from feature_atlas.dictionary.training import Adaptation, TrainingPlan
from feature_atlas.features.decoder_cosine import decoder_cosine
from feature_atlas.features.example import TopExamples
from feature_atlas.features.excess_rotation import Rotation
from feature_atlas.features.firing_counts import FiringCounts
from feature_atlas.features.firing_shift import FiringShift, firing_shift
from feature_atlas.features.neutral_prompt import (
    NeutralCounts,
    max_activation,
    shuffled_samples,
    survives,
)
from feature_atlas.features.visual_energy import EnergyReplicates, EnergySums, preference_interval
from planted.features import Planted
from planted.stream import Picture, PlantedStream, Prompts

N_TRAINING = 32_000  # tokens of each regime
N_HARVESTED, N_CONTROL = 2000, 600  # questions, with the picture and under all conditions
N_TOP = 10  # samples per feature that are asked again
N_REPLICATES = 100
TRAINING_PICTURE: dict[str, Picture] = {"text": "real", "refit": "plain", "language": "none"}


class Read(NamedTuple):
    """One pass of questions over the adapted dictionary."""

    energy: dict[Picture, EnergySums]
    """By condition; "mean" and "none" of the control questions."""
    preference_low: Tensor
    """Lower end of the modality preference's interval, [d_sae]."""
    shift: FiringShift
    top_pictures: Tensor
    """Pictures of the questions on which each feature is most active, -1 for none, [d_sae, m]."""


class NeutralRuns(NamedTuple):
    """One neutral prompt, asked about the top pictures of every feature."""

    counts: NeutralCounts
    survives: Tensor
    """Whether each feature still fires, and because of the picture, [d_sae]."""


class Measured(NamedTuple):
    """Everything measured in one world."""

    planted: Planted
    rotation: dict[str, Rotation]
    """By regime."""
    read: Read
    neutral: list[NeutralRuns]
    """By prompt: one free of spatial words, one with them."""


def measure(planted: Planted, seed: int) -> Measured:
    """Run the pipeline over a planted world; the seed draws its texts."""
    adapted = _adaptations(planted, seed)
    sae = adapted["text"].sae
    stream = PlantedStream(planted, 1000 * seed + 99)
    read = _read(stream, sae)
    return Measured(
        planted,
        {regime: _rotation(planted.base, result) for regime, result in adapted.items()},
        read,
        [_ask(stream, sae, read.top_pictures, spatial) for spatial in (False, True)],
    )


def rotations(planted: Planted, seed: int) -> dict[str, Rotation]:
    """Only the trainings of `measure`, and how far they turned the features."""
    adapted = _adaptations(planted, seed)
    return {regime: _rotation(planted.base, result) for regime, result in adapted.items()}


def _adaptations(planted: Planted, seed: int) -> dict[str, Adaptation]:
    return {
        regime: trained_on(planted, regime, 1000 * seed + 10 * i)
        for i, regime in enumerate(TRAINING_PICTURE)
    }


def trained_on(planted: Planted, regime: str, seed: int) -> Adaptation:
    """The adaptation of one regime."""
    picture = TRAINING_PICTURE[regime]
    stream, unseen = PlantedStream(planted, seed), PlantedStream(planted, seed + 1)
    judging = unseen.tokens(unseen.questions(100), picture)
    plan = training_plan(seed)
    return trained(regime, planted.base, stream.training(picture), judging, plan)


def training_plan(seed: int) -> TrainingPlan:
    """The same for every regime; the seed mixes its tokens."""
    return TrainingPlan(
        n_tokens=N_TRAINING,
        batch_size=256,
        learning_rate=2e-3,
        n_evaluations=2,
        n_held_out=1000,
        buffer_size=4096,
        seed=seed,
    )


def _rotation(base: Sae, adaptation: Adaptation) -> Rotation:
    """One row, as the atlas has one per layer."""
    cosine = decoder_cosine(base.w_dec, adaptation.sae.w_dec)
    return Rotation(cosine.numpy()[None], adaptation.n_firings.numpy()[None])


def _read(stream: PlantedStream, sae: Sae) -> Read:
    d_sae = len(sae.w_dec)
    energy: dict[Picture, EnergySums] = {
        picture: EnergySums.empty(d_sae) for picture in ("real", "mean", "none")
    }
    every, spatial = FiringCounts.empty(d_sae), FiringCounts.empty(d_sae)
    top = TopExamples.empty(d_sae, N_TOP)
    prompts = stream.questions(N_HARVESTED)
    codes = _codes(stream, sae, prompts, "real")
    energy["real"].add(codes, prompts.roles)
    every.add(codes, prompts.prompt)
    asks = prompts.is_spatial
    spatial.add(codes, torch.where(asks, prompts.prompt, -1))
    top.add(codes, prompts.prompt, prompts.picture[prompts.prompt])
    controls = stream.questions(N_CONTROL)
    replicates = {picture: EnergyReplicates.empty(N_REPLICATES, d_sae) for picture in energy}
    for picture, of_picture in replicates.items():
        seen = _codes(stream, sae, controls, picture)
        of_picture.add(seen, controls.picture[controls.prompt], seed=0)
        if picture != "real":
            energy[picture].add(seen, controls.roles)
    return Read(
        energy,
        preference_interval(replicates["real"], replicates["none"]).low,
        firing_shift([spatial], [every.minus(spatial)]),
        top.images,
    )


def _codes(stream: PlantedStream, sae: Sae, prompts: Prompts, picture: Picture) -> SparseCodes:
    return encode(sae, stream.tokens(prompts, picture).residuals[0])


def _ask(stream: PlantedStream, sae: Sae, top_pictures: Tensor, spatial_words: bool) -> NeutralRuns:
    pictures = top_pictures[top_pictures >= 0].unique()
    prompts = stream.neutral(pictures, spatial_words=spatial_words)
    others = prompts._replace(picture=pictures[shuffled_samples(pictures, seed=0)])
    runs: list[tuple[Prompts, Picture]] = [(prompts, "real"), (prompts, "mean"), (others, "real")]
    features = torch.arange(len(sae.w_dec))
    strongest = [
        max_activation(_codes(stream, sae, asked, seen), asked.prompt, len(pictures), features)
        for asked, seen in runs
    ]
    counts = NeutralCounts.empty(len(features))
    counts.add(*strongest, (top_pictures.T[None] == pictures[:, None, None]).any(1))
    return NeutralRuns(
        counts, survives(counts.n_fired, counts.n_samples, counts.n_fired_mean_image)
    )
