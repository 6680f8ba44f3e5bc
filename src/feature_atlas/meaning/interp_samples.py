"""What an explainer gets to see of a feature: samples to describe, samples to score on (5.1, B.1).

Up to five diverse top samples to describe: other pictures, other questions, the data sets in turn.
To score: held-out samples on which the feature fires, and as many on which it is silent. A third of
these asks with the same relation word, a third about the same pictures, a third is random. No
picture that was described is scored on. Firing tokens are marked in samples to describe; those to
score on are blinded.
"""

import re
from collections.abc import Sequence
from itertools import zip_longest
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
    """The picture; None where it is not shown."""
    overlays: Sequence[Image.Image] = ()
    """The picture under the attention of the feature's top heads, one each, for OVERLAY."""
    image_id: int = 0
    """Same number: same picture."""
    relation: str | None = None
    """The relation asked about, where one is known."""
    source: str = ""
    """The data set it comes from."""


class Described(NamedTuple):
    """The samples on which a feature fires, parted."""

    describe: list[Sample]
    """Top samples to describe it from."""
    held_out: list[Sample]
    """The others, of other pictures."""


class Scored(NamedTuple):
    """Samples that a description is scored on."""

    positives: list[Sample]
    """Held out: the feature fires."""
    negatives: list[Sample]
    """Held out: it does not."""
    n_same_relation: int
    """Negatives that were taken because they ask with the same relation word."""
    n_same_image: int
    """Negatives that were taken because they ask about the picture of a positive."""


class TooFewSamplesError(ValueError):
    """A feature that cannot be described and scored on different pictures."""


def choose_described(active: Sequence[Sample], *, n_describe: int = 5) -> Described:
    """Diverse top samples to describe, and what is left to score on.

    ``active`` falls in activation. A feature with few pictures keeps half of them for scoring.
    """
    n_pictures = len({sample.image_id for sample in active})
    if n_pictures < 2:
        raise TooFewSamplesError(
            f"{n_pictures} pictures on which the feature fires: expected at least 2, one to "
            "describe and one to score. Keep more top samples per feature (`example.n_per_source`)."
        )
    describe = _diverse(active, min(n_describe, n_pictures // 2))
    shown = {sample.image_id for sample in describe}
    return Described(describe, [sample for sample in active if sample.image_id not in shown])


def choose_scored(
    chosen: Described,
    silent: Sequence[Sample],
    *,
    n_positive: int = 10,
    n_negative: int = 10,
    seed: int = 0,
) -> Scored:
    """Positives and negatives to score on. What is missing of a third is drawn from the rest."""
    shown = {sample.image_id for sample in chosen.describe}
    left = [sample for sample in silent if sample.image_id not in shown]
    if not left:
        raise TooFewSamplesError(
            f"{len(silent)} silent samples, none of a picture that was not described: expected at "
            "least 1. The feature fires on nearly everything; leave it undescribed."
        )
    random = np.random.default_rng(seed)
    relations = {s.relation for s in [*chosen.describe, *chosen.held_out] if s.relation}
    positives = _draw(chosen.held_out, n_positive, random)
    pictures = {sample.image_id for sample in positives}
    same_relation = [i for i, sample in enumerate(left) if names_one(sample, relations)]
    near = _draw(same_relation, n_negative // 3, random)
    same_image = [i for i, s in enumerate(left) if s.image_id in pictures and i not in near]
    beside = _draw(same_image, n_negative // 3, random)
    others = [i for i in range(len(left)) if i not in {*near, *beside}]
    far = _draw(others, n_negative - len(near) - len(beside), random)
    negatives = [left[i] for i in [*near, *beside, *far]]
    return Scored(positives, negatives, len(near), len(beside))


def _diverse(active: Sequence[Sample], n: int) -> list[Sample]:
    """The strongest of different pictures, sources in turn, different questions first."""
    by_source: dict[str, list[Sample]] = {}
    for sample in active:
        by_source.setdefault(sample.source, []).append(sample)
    in_turn = [s for turn in zip_longest(*by_source.values()) for s in turn if s is not None]
    chosen: list[Sample] = []
    for must_differ in (_asked, None):
        for sample in in_turn:
            is_new = sample.image_id not in {s.image_id for s in chosen}
            if must_differ is not None:
                is_new = is_new and must_differ(sample) not in map(must_differ, chosen)
            if is_new and len(chosen) < n:
                chosen.append(sample)
    return chosen


def _asked(sample: Sample) -> str:
    """The words of the question, however they are written."""
    return " ".join(re.findall(r"\w+", sample.question.lower()))


def names_one(sample: Sample, relations: set[str]) -> bool:
    """Whether a question is about one of the relations, or has the words of one."""
    asked = f" {_asked(sample)} "
    return sample.relation in relations or any(f" {r.lower()} " in asked for r in relations)


def _draw(items: Sequence[Item], n: int, random: np.random.Generator) -> list[Item]:
    return [items[i] for i in random.permutation(len(items))[:n]]


def blinded(sample: Sample) -> Sample:
    """The same sample without a trace of what the feature did on it."""
    return sample._replace(tokens=(), activations=(), source="")


def without_picture(sample: Sample) -> Sample:
    """The same question as if there were no picture."""
    return sample._replace(image=None, overlays=())


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

    Tokens with spaces of their own are put together as they are, others with a space between. An
    asterisk of the question's own is left out: it could pass for a mark.
    """
    if not sample.tokens:
        return sample.question
    marked = [
        _mark(token.replace("*", "")) if is_firing else token.replace("*", "")
        for token, is_firing in zip(sample.tokens, firing(sample), strict=True)
    ]
    has_spaces = any(token.startswith((" ", "\n")) for token in sample.tokens)
    return ("" if has_spaces else " ").join(marked).strip()


def _mark(token: str) -> str:
    word = token.strip()
    return token.replace(word, f"**{word}**", 1) if word else token
