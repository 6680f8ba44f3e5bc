"""Answers with and without an ablation, counted by hand."""

import math

import numpy as np
import pytest
from scipy.special import expit
from statsmodels.stats.contingency_tables import mcnemar

from feature_atlas.ablation.ablation_effect import ablation_effect, ablation_effects, interactions


def test_the_effect_of_four_answers_by_hand() -> None:
    label = np.array([True, True, False, False])
    before = np.array([2.0, 2.0, -2.0, 2.0])  # right, right, right, wrong
    after = np.array([2.0, -2.0, -2.0, 2.0])  # the second answer is spoiled

    effect = ablation_effect(label, before, after, np.array([1, 2, 3, 4]))

    assert effect.n_samples == 4
    assert (effect.accuracy_before, effect.accuracy_after) == (0.75, 0.5)
    assert effect.delta_accuracy == -0.25
    assert (effect.right_to_wrong, effect.wrong_to_right) == (1, 0)
    assert effect.mcnemar_p == 1.0
    assert effect.margin_delta == -1.0  # -4 on one of four
    p = 1 / (1 + math.exp(-2))
    assert effect.probability_delta == pytest.approx((1 - p - p) / 4)
    assert (effect.yes_rate_before, effect.yes_rate_after) == (0.75, 0.5)
    assert (effect.balanced_accuracy_before, effect.balanced_accuracy_after) == (0.75, 0.5)
    assert effect.delta_low <= -0.25 <= effect.delta_high <= 0


def test_an_answer_that_turns_to_always_yes_keeps_balanced_accuracy_at_a_half() -> None:
    label = np.array([True] * 7 + [False] * 3)
    before, after = np.where(label, 1.0, -1.0), np.ones(10)

    effect = ablation_effect(label, before, after, np.arange(10))

    assert (effect.accuracy_after, effect.balanced_accuracy_after) == (0.7, 0.5)
    assert (effect.yes_rate_before, effect.yes_rate_after) == (0.7, 1.0)


def test_many_ablations_at_once_are_each_one_alone() -> None:
    random = np.random.default_rng(0)
    label, images = random.random(60) < 0.5, random.integers(20, size=60)
    before, after = random.normal(size=60), random.normal(size=(3, 60))

    together = ablation_effects(label, before, after, images, seed=5, n_draws=500)

    alone = [ablation_effect(label, before, a, images, seed=5, n_draws=500) for a in after]
    assert together == alone


def test_samples_of_one_image_widen_the_interval() -> None:
    label = np.ones(40, bool)
    before, after = np.ones(40), np.where(np.arange(40) < 20, -1.0, 1.0)

    apart = ablation_effect(label, before, after, np.arange(40))
    in_fours = ablation_effect(label, before, after, np.arange(40) // 4)

    assert in_fours.delta_high - in_fours.delta_low > 1.5 * (apart.delta_high - apart.delta_low)


def test_outcomes_that_do_not_pair_up_are_refused() -> None:
    three, four = np.ones(3), np.ones(4)

    with pytest.raises(ValueError, match=r"3 labels, margins before \[4\]"):
        ablation_effect(three.astype(bool), four, three, three)
    with pytest.raises(ValueError, match="margins hold NaN or inf"):
        ablation_effect(three.astype(bool), three, three * np.nan, three)


def test_counts_and_p_are_those_of_statsmodels() -> None:
    random = np.random.default_rng(11)
    label, images = random.random(300) < 0.6, np.arange(300)
    before = random.normal(size=300) + np.where(label, 1, -1)
    after = before + random.normal(size=300) - np.where(label, 0.7, -0.7)

    effect = ablation_effect(label, before, after, images, n_draws=10)

    was, now = (before > 0) == label, (after > 0) == label
    table = [[(was & now).sum(), (was & ~now).sum()], [(~was & now).sum(), (~was & ~now).sum()]]
    assert effect.mcnemar_p == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert effect.delta_accuracy == pytest.approx(now.mean() - was.mean())


def resampled(values: np.ndarray, images: np.ndarray, seed: int) -> np.ndarray:
    """Means over images drawn anew, one draw at a time."""
    random, names = np.random.default_rng(seed), np.unique(images)
    of_image = {name: values[images == name] for name in names}
    means = []
    for _ in range(2000):
        drawn = random.choice(names, len(names))
        means.append(np.concatenate([of_image[name] for name in drawn]).mean())
    return np.array(means)


def test_intervals_of_probability_and_margin_are_those_of_a_bootstrap_by_hand() -> None:
    random = np.random.default_rng(5)
    label, images = random.random(150) < 0.5, random.integers(50, size=150)
    before, after = random.normal(size=150), random.normal(size=150)
    sign = np.where(label, 1, -1)

    effect = ablation_effect(label, before, after, images, seed=1, n_draws=4000)

    margin = resampled(sign * (after - before), images, seed=9)
    probability = resampled(expit(sign * after) - expit(sign * before), images, seed=9)
    for found, expected in (
        ((effect.margin_low, effect.margin_high), margin),
        ((effect.probability_low, effect.probability_high), probability),
    ):
        np.testing.assert_allclose(
            found, np.quantile(expected, [0.025, 0.975]), atol=0.2 * expected.std()
        )


def test_an_interaction_draws_shared_images_for_both_sets() -> None:
    random = np.random.default_rng(6)
    images = np.arange(60)
    changes = random.choice([-1.0, 0, 1], size=(1, 60), p=[0.4, 0.5, 0.1])

    (same,) = interactions(changes, images, changes, images)
    (apart,) = interactions(changes, images, changes, images + 60)

    assert same == (0, 0, 0)  # the same answers twice: their difference has no spread
    assert apart.difference == 0
    spread = math.sqrt(2 * changes.var() / 60)
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * spread, rel=0.1)


def test_an_effect_on_one_set_alone_is_its_interaction() -> None:
    hurt, still = np.array([[-1.0] * 10 + [0.0] * 10]), np.zeros((1, 7))

    (found,) = interactions(hurt, np.arange(20), still, np.arange(100, 107))

    assert found.difference == -0.5
    assert found.low < -0.5 < found.high < 0
