"""A planted world whose features are adapted three times, to the same prompts in another order."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from made_up.training import trained

from feature_atlas.dictionary.shuffle_buffer import n_tokens_for
from feature_atlas.features.decoder_cosine import decoder_cosine
from feature_atlas.features.excess_rotation import Rotation, excess_rotation, turned_further
from feature_atlas.features.selection import adapted_set, beyond_null, turned_by_vision
from feature_atlas.vlm.harvest import Tokens
from planted.atlas import N_TRAINING, TRAINING_PICTURE, training_plan
from planted.features import Planted
from planted.labels import Labelled
from planted.stream import QUESTION_ROLES, Picture, PlantedStream

N_SEEDS = 3
N_AT_ONCE = 200


class Repeated(NamedTuple):
    """What is said of the features of one world, seed by seed."""

    planted: Planted
    cosine: list[np.ndarray]
    """Of the regime text, [1, d_sae]."""
    adapted: list[Labelled]
    turned_by_vision: list[Labelled]


def repeat(planted: Planted, seed: int, n_seeds: int = N_SEEDS) -> Repeated:
    """Train the three regimes in several orders, and judge each as the pipeline does the first."""
    rotations = [_rotations(planted, seed, order) for order in range(n_seeds)]
    energy = np.ones((1, len(planted.kind)))  # every planted feature that fires sees
    adapted = [adapted_set(r["text"].cosine, energy) for r in rotations]
    turned = [
        turned_by_vision(chosen, _beyond_refit(r), _beyond_language(r))
        for r, chosen in zip(rotations, adapted, strict=True)
    ]
    return Repeated(planted, [r["text"].cosine for r in rotations], adapted, turned)


def _beyond_refit(rotation: dict[str, Rotation]) -> np.ndarray:
    found = excess_rotation(rotation["text"], rotation["refit"])
    return beyond_null(found.excess, found.q_value)


def _beyond_language(rotation: dict[str, Rotation]) -> np.ndarray:
    return turned_further(rotation["text"], rotation["language"], rotation["refit"])


def _rotations(planted: Planted, seed: int, order: int) -> dict[str, Rotation]:
    found = {}
    for i, (regime, picture) in enumerate(TRAINING_PICTURE.items()):
        plan = training_plan(1000 * seed + order)
        held_out = PlantedStream(planted, 1000 * seed + 10 * i + 1)
        judging = held_out.tokens(held_out.questions(100), picture)
        passes = _passes(PlantedStream(planted, 1000 * seed + 10 * i), picture, order)
        result = trained(regime, planted.base, passes, judging, plan)
        cosine = decoder_cosine(planted.base.w_dec, result.sae.w_dec)
        found[regime] = Rotation(cosine.numpy()[None], result.n_firings.numpy()[None])
    return found


def _passes(stream: PlantedStream, picture: Picture, order: int) -> Iterator[Tokens]:
    """The stream's first prompts, shuffled."""
    plan = training_plan(0)
    n_tokens = n_tokens_for(N_TRAINING, plan.buffer_size, plan.batch_size)
    n_passes = -(-n_tokens // (N_AT_ONCE * len(QUESTION_ROLES)))
    every = [stream.tokens(stream.questions(N_AT_ONCE), picture) for _ in range(n_passes)]
    residual = torch.cat([tokens.residuals[0] for tokens in every])
    roles = torch.cat([tokens.roles for tokens in every])
    prompts = torch.arange(len(residual)).view(-1, len(QUESTION_ROLES))
    shuffled = prompts[torch.randperm(len(prompts), generator=torch.Generator().manual_seed(order))]
    for chosen in shuffled.split(N_AT_ONCE):
        rows = chosen.flatten()
        number = torch.arange(len(chosen)).repeat_interleave(len(QUESTION_ROLES))
        yield Tokens({0: residual[rows]}, roles[rows], number)
