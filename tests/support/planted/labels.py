"""The labels that the atlas gives in a planted world, and how right they are."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool

from feature_atlas.features.excess_rotation import excess_rotation, turned_further
from feature_atlas.features.selection import adapted_set, beyond_null, candidates, turned_by_vision
from feature_atlas.features.visual_energy import mean_energy
from feature_atlas.vlm.token_roles import TEXT_ROLES
from planted.atlas import Measured
from planted.features import TURNED_BY_VISION, Kind

Labelled = Bool[np.ndarray, " d_sae"]

LARGE_PREFERENCE = 10


class Labels(NamedTuple):
    """What the atlas says of every feature."""

    adapted: Labelled
    """The paper's rule alone: it is active on text, and in the bottom quarter of cosines."""
    beyond_refit: Labelled
    """Adapted, and turned further than refitting alone explains."""
    turned_by_vision: Labelled
    """And further than the language of questions turned it."""
    candidate: Labelled
    """Recruited by spatial questions."""
    fires_on: Labelled
    """A candidate that still fires when the question is neutral, whatever it sees."""
    called_spatial: Labelled
    """The paper's steps: adapted, a candidate, and still firing when the question is neutral."""
    grounded: Labelled
    """Spatial and image-grounded: adapted, a candidate, and survives neutral prompts."""
    image_only: Labelled
    """The image raises its energy on the same questions tenfold, with 97.5 % confidence."""
    silent: Labelled
    """Never fired: in no training, and under no condition."""


class Score(NamedTuple):
    """A label against the truth."""

    precision: float
    """Share of the labelled that are; 1 if none is labelled."""
    recall: float
    """Share of those that are which are labelled."""


def labels_of(measured: Measured) -> Labels:
    """Apply the rules of the atlas at their defaults."""
    rotation = measured.rotation
    text, language, refit = (rotation[r] for r in ("text", "language", "refit"))
    energy = {p: mean_energy(s, TEXT_ROLES) for p, s in measured.read.energy.items()}
    adapted = adapted_set(text.cosine, energy["real"].numpy()[None])
    excess = excess_rotation(text, refit)
    is_beyond_null = beyond_null(excess.excess, excess.q_value)
    by_vision = turned_by_vision(adapted, is_beyond_null, turned_further(text, language, refit))
    candidate = candidates(measured.read.shift)
    fires_on = torch.stack([
        run.counts.n_fired >= 0.5 * run.counts.n_samples.clamp_min(1) for run in measured.neutral
    ]).any(0).numpy()  # fmt: skip
    survives = torch.stack([run.survives for run in measured.neutral]).any(0).numpy()
    fired = sum(r.n_firings[0] for r in rotation.values())
    return Labels(
        adapted[0],
        adapted[0] & is_beyond_null[0],
        by_vision[0],
        candidate,
        candidate & fires_on,
        adapted[0] & candidate & fires_on,
        adapted[0] & candidate & survives,
        measured.read.preference_low.numpy() > np.log(LARGE_PREFERENCE),
        (fired == 0) & (sum(energy.values()).numpy() == 0),
    )


def score(label: Labelled, truth: Labelled) -> Score:
    """Precision and recall of a label."""
    right = (label & truth).sum()
    return Score(right / label.sum() if label.any() else 1.0, right / truth.sum())


def truth_of(measured: Measured, *kinds: Kind) -> Labelled:
    """Which features are of one of the kinds."""
    return measured.planted.is_any(*kinds).numpy()


TRUE_KINDS = {
    "adapted": TURNED_BY_VISION,
    "beyond_refit": TURNED_BY_VISION,
    "turned_by_vision": TURNED_BY_VISION,
    "candidate": (Kind.GROUNDED,),
    "fires_on": (Kind.GROUNDED,),
    "called_spatial": (Kind.GROUNDED,),
    "grounded": (Kind.GROUNDED,),
    "image_only": (Kind.IMAGE_ONLY,),
    "silent": (Kind.DEAD,),
}
"""Which kinds each label is meant to find; the paper's rule and the candidates fall short."""
