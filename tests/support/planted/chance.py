"""Scores in a planted world: of the adapted dictionary, and of one that knows nothing."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from feature_atlas.ablation.intervention import directional
from feature_atlas.dictionary.frozen_random import frozen_random
from feature_atlas.dictionary.reconstruction import Reconstruction, reconstruction
from feature_atlas.dictionary.sae import Sae, encode, unit_directions
from feature_atlas.features.firing_counts import FiringCounts
from feature_atlas.features.firing_shift import firing_shift
from feature_atlas.features.selection import candidates
from planted.atlas import trained_on
from planted.features import Kind, Planted
from planted.stream import PlantedStream

N_QUESTIONS, N_JUDGED = 2000, 60


class Scores(NamedTuple):
    """Of one dictionary; a number a feature."""

    judged: Reconstruction
    recruited: np.ndarray
    """Whether spatial questions recruit it."""
    odds_ratio: np.ndarray
    """Its logarithm; of those that are."""
    f1: np.ndarray
    """Of the planted thing that foretells best where it fires, on other tokens."""
    ablation: np.ndarray
    """What removing the feature that knows most of a planted thing does to answers about it."""


def beside_chance(planted: Planted, seed: int) -> tuple[Scores, Scores]:
    """The adapted dictionary's scores, then those of a frozen random one that fires as often."""
    adapted = trained_on(planted, "text", 1000 * seed).sae
    unseen = PlantedStream(planted, 1000 * seed + 98)
    tokens = unseen.tokens(unseen.questions(400), "real").residuals[0]
    l0 = reconstruction(adapted, tokens).l0
    random = frozen_random(planted.base, tokens, l0, seed)
    return _scores(planted, seed, adapted), _scores(planted, seed, random)


def _scores(planted: Planted, seed: int, sae: Sae) -> Scores:
    stream = PlantedStream(planted, 1000 * seed + 99)
    prompts = stream.questions(N_QUESTIONS)
    residual = stream.tokens(prompts, "real").residuals[0]
    codes = encode(sae, residual)
    d_sae = len(sae.w_dec)
    every, spatial = FiringCounts.empty(d_sae), FiringCounts.empty(d_sae)
    every.add(codes, prompts.prompt)
    spatial.add(codes, torch.where(prompts.is_spatial, prompts.prompt, -1))
    fires = torch.zeros(len(residual), d_sae, dtype=torch.bool)
    fires.scatter_(1, codes.indices, codes.values > 0)
    seen = planted.shows[prompts.picture][prompts.prompt] * prompts.looked
    there = torch.maximum(prompts.said, seen) > 0
    half = len(residual) // 2
    foretold = _foretold(fires[:half], there[:half])
    shift = firing_shift([spatial], [every.minus(spatial)])
    recruited = candidates(shift)
    return Scores(
        reconstruction(sae, residual),
        recruited,
        np.log(shift.odds_ratio[recruited]),
        _f1(fires[half:], there[half:], foretold.argmax(1)),
        _ablation(planted, sae, residual[half:], there[half:], foretold),
    )


def _foretold(
    fires: Bool[Tensor, "token d_sae"], there: Bool[Tensor, "token thing"]
) -> Float[Tensor, "d_sae thing"]:
    """F1 of every planted thing as the description of every feature; 0 where it never fires."""
    both = fires.T.float() @ there.float()
    return 2 * both / (fires.sum(0)[:, None] + there.sum(0)[None]).clamp_min(1)


def _f1(
    fires: Bool[Tensor, "token d_sae"], there: Bool[Tensor, "token thing"], said: Tensor
) -> np.ndarray:
    """On as many tokens on which it fires as on which it is silent; NaN where there are too few."""
    random = np.random.default_rng(0)
    found = np.full(fires.shape[1], np.nan)
    for feature, thing in enumerate(said.tolist()):
        fired = fires[:, feature].numpy()
        if fired.sum() < N_JUDGED:
            continue
        chosen = [random.choice(np.flatnonzero(is_in), N_JUDGED) for is_in in (fired, ~fired)]
        yes, no = (there[torch.from_numpy(rows), thing].sum().item() for rows in chosen)
        found[feature] = 2 * yes / (yes + no + N_JUDGED)
    return found


def _ablation(
    planted: Planted,
    sae: Sae,
    residual: Float[Tensor, "token d_model"],
    there: Bool[Tensor, "token thing"],
    foretold: Float[Tensor, "d_sae thing"],
) -> np.ndarray:
    """Change of the accuracy of a linear reader of each grounded thing, on even halves."""
    deltas = []
    for thing in np.flatnonzero(planted.is_any(Kind.GROUNDED).numpy()):
        has, lacks = there[:, thing].nonzero()[:, 0], (~there[:, thing]).nonzero()[:, 0]
        rows = torch.cat([has, lacks[: len(has)]])
        asked, label = residual[rows], there[rows, thing]
        reader = planted.turned_by_image[thing]
        level = (asked @ reader).mean()
        edit = directional(unit_directions(sae)[foretold[:, thing].argmax()])
        everywhere = torch.ones(1, len(rows), dtype=torch.bool)
        after = edit(asked[None], everywhere)[0]
        right = [((x @ reader > level) == label).float().mean().item() for x in (asked, after)]
        deltas.append(right[1] - right[0])
    return np.array(deltas)
