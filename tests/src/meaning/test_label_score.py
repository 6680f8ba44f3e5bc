"""Graders kept blind, failures counted, and graders that do not read seen through."""

from collections.abc import Sequence

import numpy as np
import pytest
from numbered_sample import sample
from PIL import Image
from scipy.stats import fisher_exact

from feature_atlas.meaning.auto_interp import Description, Usage, Verdicts
from feature_atlas.meaning.interp_samples import Sample
from feature_atlas.meaning.label_score import (
    Score,
    chance_p,
    confusion_of,
    drawn_again,
    f1_score,
    score_description,
)

PICTURE = Image.new("RGB", (4, 4))


class Grader:
    """Answers by a function; remembers what it was shown."""

    name, model, variant, prompt_hash = "fake", "fake", "RAW", "0"

    def __init__(self, judge) -> None:
        self.judge, self.rounds, self.shown = judge, 0, []

    def describe(self, samples: Sequence[Sample]) -> Description:
        raise NotImplementedError

    def classify(self, description: str, samples: Sequence[Sample]) -> Verdicts:
        self.rounds += 1
        self.shown += samples
        answers = [self.judge(description, sample) for sample in samples]
        return Verdicts(answers, [f"reply {self.rounds}"], Usage(100, 10, 0.25))


def fires(one: Sample) -> bool:
    return one.image_id < 100


def halves(n: int, image: Image.Image | None = None) -> tuple[list[Sample], list[Sample]]:
    return (
        [sample(i)._replace(image=image) for i in range(n)],
        [sample(100 + i)._replace(image=image) for i in range(n)],
    )


def scored(judge, *samples: list[Sample], description="things", **options) -> Score:
    return score_description(Grader(judge), description, *samples, **options).score


def test_the_score_by_hand() -> None:
    positives, negatives = [sample(n) for n in range(4)], [sample(n) for n in range(10, 16)]
    said_yes = {"0 above?", "1 above?", "2 above?", "10 above?"}  # 3 of 4 found, 1 false alarm

    score = scored(lambda _, s: s.question in said_yes, positives, negatives)

    assert score[:6] == (4, 6, 3, 1, 1, 5)  # n+, n-, tp, fp, fn, tn
    assert score.f1 == pytest.approx(0.75)  # 6 / (6 + 1 + 1)
    assert score.balanced_accuracy == pytest.approx((3 / 4 + 5 / 6) / 2)
    assert score.mcc == pytest.approx((3 * 5 - 1 * 1) / (4 * 4 * 6 * 6) ** 0.5)
    assert score.chance_p == pytest.approx(25 / 210)  # (4C3 6C1 + 4C4 6C0) / 10C4
    assert (score.shuffled_f1, score.f1_gain_low, score.n_failed) == (None, None, 0)


def test_scores_agree_with_their_definitions_and_with_scipy() -> None:
    random = np.random.default_rng(3)
    for _ in range(20):
        truth = np.array([True, False, *(random.random(15) < 0.5)])
        said = [bool(x) for x in random.random(17) < 0.6]
        counts = confusion_of(truth, said)
        table = [
            [counts["true_positive"], counts["false_negative"]],
            [counts["false_positive"], counts["true_negative"]],
        ]

        precision = truth[np.array(said)].mean() if any(said) else 0.0
        recall = np.array(said)[truth].mean()
        expected = 2 / (1 / precision + 1 / recall) if precision and recall else 0.0
        assert f1_score(**counts) == pytest.approx(expected)
        assert chance_p(**counts) == pytest.approx(fisher_exact(table, "greater").pvalue)


def test_an_always_yes_grader_is_seen_through() -> None:
    score = scored(lambda *_: True, *halves(10, PICTURE), shuffled="other")

    assert score.f1 == score.shuffled_f1 == score.text_only_f1 == pytest.approx(2 / 3)
    assert (score.balanced_accuracy, score.mcc, score.chance_p) == (0.5, 0.0, 1.0)
    assert (score.f1_gain_low, score.f1_gain_high) == (0.0, 0.0)
    assert (score.mcc_low, score.mcc_high) == (0.0, 0.0)


def test_a_grader_that_takes_any_sentence_for_any_other_is_seen_through() -> None:
    """It tells the samples apart, but not by the sentence."""
    moods = {n: (n % 6 != 0) == (n < 100) for n in range(200)}  # 10 of 12 right in both halves

    score = scored(lambda _, s: moods[s.image_id], *halves(12), shuffled="other")

    assert score.f1 == pytest.approx(20 / 24)
    assert score.chance_p < 0.05  # by itself it would look informative
    assert (score.f1, score.f1_gain_low, score.f1_gain_high) == (score.shuffled_f1, 0.0, 0.0)


def test_a_grader_that_reads_beats_the_shuffled_baseline() -> None:
    judge = lambda description, s: fires(s) == (description == "own")  # noqa: E731

    score = scored(judge, *halves(8), description="own", shuffled="other")

    assert (score.f1, score.shuffled_f1, score.f1_gain_low) == (1.0, 0.0, 1.0)
    assert score.chance_p == pytest.approx(1 / 12870)  # 16 choose 8


def test_two_right_answers_do_not_make_a_label_sure() -> None:
    score = scored(lambda _, s: fires(s), *halves(2))

    assert (score.f1, score.mcc_low) == (1.0, 1.0)  # a bootstrap of four cannot see how few
    assert score.chance_p == pytest.approx(1 / 6)


def test_a_label_about_words_scores_as_high_without_pictures() -> None:
    about_words = scored(lambda _, s: fires(s), *halves(8, PICTURE))
    about_pictures = scored(lambda _, s: s.image is not None and fires(s), *halves(8, PICTURE))

    assert (about_words.text_only_f1, about_words.picture_gain_low) == (1.0, 0.0)
    assert (about_pictures.text_only_f1, about_pictures.picture_gain_low) == (0.0, 1.0)


def test_who_sees_no_picture_is_not_asked_twice() -> None:
    grader = Grader(lambda *_: True)

    score_description(grader, "things", *halves(4), shuffled="other")

    assert grader.rounds == 4  # two rounds, own and shuffled


def test_failed_answers_are_wrong_answers_and_are_counted() -> None:
    failing = {"0 above?", "100 above?"}
    judge = lambda _, s: None if s.question in failing else fires(s)  # noqa: E731

    score = scored(judge, *halves(2))

    assert score[:6] == (2, 2, 1, 1, 1, 1)
    assert score.n_failed == 2


def test_a_feature_without_description_fails_on_every_sample() -> None:
    grader = Grader(lambda *_: True)

    score = score_description(grader, None, [sample(1)], [sample(2), sample(3)]).score

    assert (score.n_failed, score.f1, score.false_positive, grader.rounds) == (3, 0.0, 2, 0)


def test_the_grader_is_blind_and_the_order_is_mixed() -> None:
    grader = Grader(lambda *_: True)
    positives, negatives = halves(8)

    graded = score_description(grader, "things", positives, negatives, n_rounds=3)

    assert all(not s.tokens and not s.activations and not s.source for s in grader.shown)
    assert grader.rounds == 3
    assert graded.raw_replies == ["reply 1", "reply 2", "reply 3"]
    assert graded.usage == Usage(300, 30, 0.75)
    assert 0 < sum(fires(s) for s in grader.shown[:8]) < 8
    assert sorted(s.question for s in grader.shown) == sorted(
        s.question for s in positives + negatives
    )


def test_intervals_take_pictures_whole_and_kinds_apart() -> None:
    truth = np.array([True] * 6 + [False] * 4)
    images = np.array([1, 1, 2, 3, 3, 3, 1, 4, 4, 5])

    weights = drawn_again(truth, images, 500, seed=0)

    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 7] == weights[:, 8]).all()
    assert (weights[:, 0] != weights[:, 6]).any()  # picture 1 among positives and among negatives
    assert ((weights[:, 0] + weights[:, 2] + weights[:, 3]) == 3).all()  # three pictures drawn
    assert weights.mean(0) == pytest.approx(np.ones(10), abs=0.15)


def test_the_interval_of_mcc_is_that_of_a_bootstrap_by_hand() -> None:
    positives, negatives = halves(10)
    wrong = {0, 1, 2, 100, 101}
    score = scored(lambda _, s: fires(s) != (s.image_id in wrong), positives, negatives)

    random = np.random.default_rng(11)
    right = np.array([n >= 3 for n in range(10)]), np.array([n < 2 for n in range(10)])
    draws = []
    for _ in range(4000):
        said = np.concatenate([random.choice(kind, 10) for kind in right])
        draws.append(np.corrcoef([1] * 10 + [0] * 10, said)[0, 1])
    assert [score.mcc_low, score.mcc_high] == pytest.approx(
        np.quantile(draws, [0.025, 0.975]), abs=0.06
    )


def test_scores_need_positives_and_negatives() -> None:
    with pytest.raises(ValueError, match="1 positives and 0 negatives"):
        scored(lambda *_: True, [sample(1)], [])


def test_an_explainer_that_loses_samples_is_stopped() -> None:
    class Careless(Grader):
        def classify(self, description: str, samples: Sequence[Sample]) -> Verdicts:
            return Verdicts([True])

    with pytest.raises(ValueError, match="'fake' gave 1 answers to 4 samples"):
        score_description(Careless(None), "x", *halves(4))
