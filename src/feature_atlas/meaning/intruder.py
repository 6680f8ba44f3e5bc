"""Whether the samples of a feature belong together, without a word on what they share (beside 5.1).

Intruder detection (arXiv 2507.08473). A judge sees five samples in random order, the firing tokens
of each marked: four on which the feature fires, and an intruder, on which the feature is silent and
another one of its layer, which fires about as often, fires. A feature is as coherent as the
intruders are found:

    accuracy = intruders found / trials,    1/5 for a judge who sees nothing in common

A failed answer is a wrong one. All five are of one data set, so that the form of a question gives
nothing away, and of five pictures. Trials of one feature share samples, which the interval
(Wilson's) does not know: it is of other trials with these samples, not of other samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float
from scipy.stats import binom

from feature_atlas.meaning.auto_interp import Usage
from feature_atlas.meaning.embedding import Embedder
from feature_atlas.meaning.explainer_offline import words_of
from feature_atlas.meaning.interp_samples import Sample, TooFewSamplesError, firing
from feature_atlas.statistics.uncertainty import wilson_interval

N_SHOWN = 5
CHANCE = 1 / N_SHOWN


class Trial(NamedTuple):
    """Five samples to be looked at."""

    samples: list[Sample]
    """In the order in which they are shown."""
    intruder: int
    """The place of the one that does not belong."""


class Picked(NamedTuple):
    """What a judge said of a trial."""

    place: int | None
    """Of the sample that it takes for the intruder; None if no answer could be read."""
    usage: Usage = Usage()
    """What it cost."""


class Judge(Protocol):
    """Anything that can say which of some samples does not belong."""

    model: str
    """Which model answers."""

    def pick(self, samples: Sequence[Sample]) -> Picked:
        """The intruder among them."""
        ...


class Coherence(NamedTuple):
    """How often intruders were found: columns of table intruder."""

    n_trials: int
    """Times five samples were shown."""
    n_right: int
    """Times the intruder was found."""
    n_failed: int
    """Times no answer could be read; counted as wrong."""
    accuracy: float
    """n_right / n_trials; 0.2 by chance."""
    accuracy_low: float
    """Lower end of its 95 % interval."""
    accuracy_high: float
    """Upper end."""
    chance_p: float
    """Chance of as many found by pointing at random (binomial, one-sided)."""


def draw_trials(
    own: Sequence[Sample], others: Sequence[Sample], *, n_trials: int, seed: int = 0
) -> list[Trial]:
    """Trials of a feature's ``own`` samples with intruders from ``others``, drawn anew for each."""
    by_source = {
        source: [_of(source, own), _of(source, others)] for source in {s.source for s in own}
    }
    sources = sorted(
        source
        for source, (fit, strange) in by_source.items()
        if len({s.image_id for s in fit}) >= N_SHOWN and strange
    )
    if not sources:
        raise TooFewSamplesError(
            f"{len(own)} samples on which the feature fires and {len(others)} of others: expected "
            f"{N_SHOWN} pictures and an intruder of one data set. Keep more samples per feature "
            "(`example.n_spread`, `example.n_random`)."
        )
    random = np.random.default_rng(seed)
    trials = []
    for _ in range(n_trials):
        fit, strange = by_source[sources[random.integers(len(sources))]]
        intruder = strange[random.integers(len(strange))]
        kept = _of_other_pictures(fit, intruder, random)
        place = int(random.integers(N_SHOWN))
        trials.append(Trial([*kept[:place], intruder, *kept[place:]], place))
    return trials


def _of(source: str, samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if sample.source == source]


def _of_other_pictures(
    own: Sequence[Sample], intruder: Sample, random: np.random.Generator
) -> list[Sample]:
    chosen: dict[int, Sample] = {}
    for i in random.permutation(len(own)):
        if own[i].image_id != intruder.image_id:
            chosen.setdefault(own[i].image_id, own[i])
    return list(chosen.values())[: N_SHOWN - 1]


def coherence(trials: Sequence[Trial], picked: Sequence[Picked]) -> Coherence:
    """Accuracy with its interval, from what a judge said of each trial."""
    n = len(trials)
    right = sum(t.intruder == said.place for t, said in zip(trials, picked, strict=True))
    low, high = wilson_interval(right, n)
    return Coherence(
        n_trials=n,
        n_right=right,
        n_failed=sum(said.place is None for said in picked),
        accuracy=right / n,
        accuracy_low=float(low),
        accuracy_high=float(high),
        chance_p=float(binom.sf(right - 1, n, CHANCE)),
    )


# ---------------------------------------------------------------- judges without a chat


@dataclass
class EmbeddingJudge:
    """Takes for the intruder whose vector has the smallest mean cosine with the four others.

    Of equals it takes the first, which is right as often as any: their order is random.
    """

    embedder: Embedder
    """Turns samples, as text, into vectors; pictures are not seen."""
    model: str = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.embedder.model

    def pick(self, samples: Sequence[Sample]) -> Picked:
        """The one that is least like the others."""
        vectors = _unit(self.embedder.embed([as_text(sample) for sample in samples]))
        cosines = vectors @ vectors.T
        return Picked(int((cosines.sum(1) - cosines.diagonal()).round(9).argmin()))


@dataclass
class WordOverlap:
    """Vectors of the words of a few texts: no model, and no meaning but that of equal words.

    A text has each word as often as it says it, but for words that all of the texts have: these
    tell nothing apart.
    """

    model: str = "word overlap 1"
    revision: str = ""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One row of numbers for each text, in order."""
        words = [words_of(text) for text in texts]
        known = sorted(set().union(*words))
        counts = np.array([[of.count(word) for word in known] for of in words], float)
        return counts * ~(counts > 0).all(0)


def as_text(sample: Sample) -> str:
    """Question and answer, then the firing tokens once more."""
    fired = [t for t, fires in zip(sample.tokens, firing(sample), strict=True) if fires]
    return " ".join([sample.question, sample.answer, *(token.strip() for token in fired)])


def _unit(vectors: np.ndarray) -> Float[np.ndarray, "text dimension"]:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
