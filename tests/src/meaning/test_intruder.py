"""Intruder detection: coherent features stand out, shuffled ones do not, and form tells nothing."""

import numpy as np
import pytest
from scipy.stats import binomtest

from feature_atlas.meaning.embedding import Embedder
from feature_atlas.meaning.interp_samples import Sample, TooFewSamplesError
from feature_atlas.meaning.intruder import (
    EmbeddingJudge,
    Picked,
    WordOverlap,
    as_text,
    coherence,
    draw_trials,
)

WORDS = ("above", "below", "near", "behind", "beside", "within")
THINGS = ("dog", "cup", "tree", "sign", "car", "bird", "shoe", "lamp")
FORM = {"questions": "is there a", "statements": "the picture shows that one"}


def samples(word_of, random: np.random.Generator, n: int = 24) -> list[Sample]:
    """Of two data sets that are worded otherwise; the word fires."""
    found = []
    for _ in range(n):
        source = random.choice(list(FORM))
        one, other = random.choice(THINGS, 2)
        tokens = [*FORM[source].split(), one, word_of(), other]
        activations = [0.0] * (len(tokens) - 2) + [2.0, 0.0]
        image = int(random.integers(2**40))
        found.append(
            Sample(" ".join(tokens), "yes", tokens, activations, image_id=image, source=source)
        )
    return found


@pytest.mark.parametrize("seed", range(5))
def test_coherent_features_are_near_one_and_shuffled_ones_at_chance(seed: int) -> None:
    random = np.random.default_rng(seed)
    judge = EmbeddingJudge(WordOverlap())

    def share_found(word: str | None) -> float:
        """Of intruders that fire on another word; None: everything fires on any word."""
        strange = [other for other in WORDS if other != word]
        own = samples(lambda: word or random.choice(WORDS), random)
        trials = draw_trials(own, samples(lambda: random.choice(strange), random), n_trials=40)
        return coherence(trials, [judge.pick(trial.samples) for trial in trials]).accuracy

    assert np.mean([share_found(word) for word in WORDS]) > 0.95
    assert np.mean([share_found(None) for _ in range(12)]) == pytest.approx(0.2, abs=0.07)


def test_five_pictures_of_one_data_set_and_one_does_not_belong() -> None:
    random = np.random.default_rng(0)
    own, others = samples(lambda: "above", random), samples(lambda: "below", random)
    own += [others[0]._replace(question="of an intruder's picture")]
    trials = draw_trials(own, others, n_trials=300)

    for trial in trials:
        assert len({s.image_id for s in trial.samples}) == 5
        assert len({s.source for s in trial.samples}) == 1
        assert [s in others for s in trial.samples] == [n == trial.intruder for n in range(5)]
    assert {trial.intruder for trial in trials} == set(range(5))
    assert {trial.samples[0].source for trial in trials} == set(FORM)
    assert trials == draw_trials(own, others, n_trials=300)


def test_accuracy_its_interval_and_chance_are_those_of_scipy() -> None:
    random = np.random.default_rng(1)
    trials = draw_trials(
        samples(lambda: "above", random), samples(lambda: "below", random), n_trials=10
    )
    said = [Picked(t.intruder) for t in trials[:5]] + [Picked((trials[5].intruder + 1) % 5)]
    found = coherence(trials, [*said, *[Picked(None)] * 4])

    expected = binomtest(5, 10, 0.2, alternative="greater")
    interval = binomtest(5, 10).proportion_ci(method="wilson")
    assert found[:4] == (10, 5, 4, 0.5)
    assert (found.accuracy_low, found.accuracy_high) == pytest.approx(tuple(interval))
    assert found.chance_p == pytest.approx(expected.pvalue)


def test_overlap_counts_words_but_for_those_that_all_have() -> None:
    vectors = WordOverlap().embed(["is left of", "is left of here", "is up up"])

    #                          here, is, left of (one word), up
    assert vectors.tolist() == [[0, 0, 1, 0], [1, 0, 1, 0], [0, 0, 0, 2]]


class Lying:
    """The vector of a text is its number."""

    model, revision = "lying", ""

    def embed(self, texts: list[str]) -> np.ndarray:
        return np.array([[1.0, float(text.split()[0])] for text in texts])


def test_the_least_like_the_others_is_picked_and_of_equals_the_first() -> None:
    embedder: Embedder = Lying()
    judge = EmbeddingJudge(embedder)

    def asked(*numbers: int) -> list[Sample]:
        return [Sample(f"{number} ?", "yes") for number in numbers]

    assert judge.pick(asked(1, 1, 9, 1, 1)).place == 2
    assert judge.pick(asked(1, 1, 1, 1, 1)).place == 0
    assert judge.model == "lying"


def test_what_fires_is_said_once_more() -> None:
    one = Sample("Is it above?", "no", ("Is", " it", " above", "?"), (0, 0, 3, 0.1))

    assert as_text(one) == "Is it above? no above"


def test_too_few_samples_are_told() -> None:
    others = [Sample("x", "yes", image_id=99, source="questions")]
    four = [Sample(str(n), "yes", image_id=n % 4, source="questions") for n in range(20)]
    mixed = [s._replace(image_id=n, source=f"set {n % 2}") for n, s in enumerate(four)]

    for own in (four, mixed):
        with pytest.raises(TooFewSamplesError, match="20 samples on which the feature fires and 1"):
            draw_trials(own, others, n_trials=1)
