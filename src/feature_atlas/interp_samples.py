"""What an explainer gets to see of a feature: samples to describe, samples to score on (5.1, B.1).

Up to five top samples of different pictures to describe; held-out samples on which the feature
fires, and samples on which it does not: at random, with the same relation word, and of the same
picture. Firing tokens are marked in those to describe; those to score on are blinded.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

Item = TypeVar("Item")

# A token is marked from this share of the sample's largest activation: under TopK something nearly
# always fires a little.
FIRING_SHARE = 0.1


class Sample(NamedTuple):
    """One question about one picture, and what the feature did on it."""

    question: str
    """As asked, without template."""
    answer: str
    """The true answer."""
    tokens: Sequence[str] = ()
    """The question's tokens as written; a leading space is part of a token."""
    activations: Sequence[float] = ()
    """Of the feature, one per token; all 0 where it is silent."""
    image: Image.Image | None = None
    """The picture."""
    overlay: Image.Image | None = None
    """The picture under the attention of the feature's top heads, for OVERLAY."""
    image_id: int = 0
    """Same number: same picture."""
    relation: str | None = None
    """The relation asked about, where one is known."""


class ChosenSamples(NamedTuple):
    """The samples of one feature, no picture of the first group in the second."""

    describe: list[Sample]
    """Top samples to describe it from."""
    positives: list[Sample]
    """Held out: it fires."""
    negatives: list[Sample]
    """Held out: it does not."""


def choose_samples(
    active: Sequence[Sample],
    silent: Sequence[Sample],
    *,
    n_describe: int = 5,
    n_positive: int = 10,
    n_negative: int = 10,
    seed: int = 0,
) -> ChosenSamples:
    """Top samples to describe, held-out ones to score. ``active`` falls in activation.

    Samples to describe have different pictures, none of which comes back among the positives. A
    feature with few pictures keeps half of them for scoring. A third each of the negatives has a
    picture or a relation of the firing samples; what is missing of either is drawn from the rest.
    """
    firsts = _first_of_each_image(active)
    n_describe = min(n_describe, len(firsts) // 2)
    if n_describe == 0 or not silent:
        raise ValueError(
            f"{len(firsts)} pictures on which the feature fires, {len(silent)} silent samples: "
            "expected at least 2 and 1. Keep more top samples per feature, or leave it undescribed."
        )
    random = np.random.default_rng(seed)
    describe = firsts[:n_describe]
    described = {sample.image_id for sample in describe}
    held_out = [sample for sample in active if sample.image_id not in described]
    positives = _draw(held_out, n_positive, random)
    return ChosenSamples(describe, positives, _negatives(active, silent, n_negative, random))


def _first_of_each_image(samples: Sequence[Sample]) -> list[Sample]:
    firsts: dict[int, Sample] = {}
    for sample in samples:
        firsts.setdefault(sample.image_id, sample)
    return list(firsts.values())


def _negatives(
    active: Sequence[Sample], silent: Sequence[Sample], n: int, random: np.random.Generator
) -> list[Sample]:
    """A third of the same pictures, a third of the same relations, the rest from all."""
    images = {sample.image_id for sample in active}
    relations = {sample.relation for sample in active} - {None}
    left = list(range(len(silent)))
    chosen: list[int] = []
    for is_near in (
        lambda sample: sample.image_id in images,
        lambda sample: sample.relation in relations,
    ):
        near = [i for i in left if is_near(silent[i])]
        chosen += _draw(near, n // 3, random)
        left = [i for i in left if i not in set(chosen)]
    return [silent[i] for i in chosen + _draw(left, n - len(chosen), random)]


def _draw(items: Sequence[Item], n: int, random: np.random.Generator) -> list[Item]:
    return [items[i] for i in random.permutation(len(items))[:n]]


def blinded(sample: Sample) -> Sample:
    """The same sample without a trace of what the feature did on it."""
    return sample._replace(tokens=(), activations=())


def firing(sample: Sample) -> list[bool]:
    """Which tokens count as firing: those near the sample's largest activation."""
    if len(sample.tokens) != len(sample.activations):
        raise ValueError(
            f"{len(sample.tokens)} tokens with {len(sample.activations)} activations: expected one "
            f"activation per token of {sample.question!r}."
        )
    threshold = FIRING_SHARE * max(sample.activations, default=0.0)
    return [value > 0 and value >= threshold for value in sample.activations]


def marked_text(sample: Sample) -> str:
    """The question with its firing tokens **marked**; the plain question if no token is given.

    Tokens with spaces of their own are put together as they are, others with a space between.
    """
    if not sample.tokens:
        return sample.question
    marked = [
        _mark(token) if is_firing else token
        for token, is_firing in zip(sample.tokens, firing(sample), strict=True)
    ]
    has_spaces = any(token.startswith((" ", "\n")) for token in sample.tokens)
    return ("" if has_spaces else " ").join(marked).strip()


def _mark(token: str) -> str:
    word = token.strip()
    return token.replace(word, f"**{word}**", 1) if word else token
