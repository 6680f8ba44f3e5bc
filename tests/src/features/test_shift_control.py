"""Intervals over images against a plain bootstrap of them, and the matched columns by hand."""

import numpy as np
import pytest
import statsmodels.api as sm
import torch

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.features.firing_counts import (
    FiringCounts,
    ReplicateCounts,
    question_firings,
)
from feature_atlas.features.shift_control import clustered_interval, length_matched, role_matched
from feature_atlas.statistics.bootstrap_weights import poisson_weights
from feature_atlas.statistics.uncertainty import (
    bootstrap_odds_ratio_interval,
    odds_ratio,
    woolf_interval,
)

N_IMAGES, N_TOKENS = 120, 8  # tokens of each image's question of either kind


def fires(rng: np.random.Generator, rate: float, kinship: float) -> np.ndarray:
    """Fired or not, [image, token]; `kinship` is the share of images where all tokens do alike."""
    one = rng.random((N_IMAGES, N_TOKENS)) < rate
    alike = rng.random((N_IMAGES, 1)) < kinship
    return np.where(alike, rng.random((N_IMAGES, 1)) < rate, one)


def interval_of(skill: np.ndarray, base: np.ndarray, n_replicates: int, seed: int):
    """As the pass does it: sparse codes of one feature, replicates counted with weights."""
    weights = poisson_weights(torch.arange(N_IMAGES), n_replicates, seed)
    counted, drawn = [], []
    for fired in (skill, base):
        codes = SparseCodes(
            torch.tensor(fired.reshape(-1, 1), dtype=torch.float32),
            torch.zeros(N_IMAGES * N_TOKENS, 1, dtype=torch.int64),
        )
        image = torch.arange(N_IMAGES).repeat_interleave(N_TOKENS)
        counts, replicates = FiringCounts.empty(1), ReplicateCounts.empty(1, n_replicates)
        counts.add(codes, image)
        firings = question_firings(codes, image)
        replicates.add(firings, weights[firings.rows])
        counted.append(counts)
        drawn.append(replicates)
    return clustered_interval(*counted, *drawn)


def log_ratio(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    return np.log((a + 0.5) * (d + 0.5) / (b + 0.5) / (c + 0.5))


def plain_bootstrap(skill: np.ndarray, base: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """log OR of 4000 draws of whole images, written out."""
    draws = []
    for _ in range(4000):
        image = rng.integers(N_IMAGES, size=N_IMAGES)
        a, c = skill[image].sum(), base[image].sum()
        draws.append(log_ratio(a, skill.size - a, c, base.size - c))
    return np.array(draws)


@pytest.mark.parametrize("kinship", [0.3, 0.9])
def test_the_interval_is_that_of_resampling_images(kinship: float) -> None:
    rng = np.random.default_rng(int(10 * kinship))
    skill, base = fires(rng, 0.4, kinship), fires(rng, 0.2, kinship)

    low, high = (float(end[0]) for end in interval_of(skill, base, 1000, seed=1))

    plain = plain_bootstrap(skill, base, rng)
    expected = np.quantile(plain, (0.025, 0.975))
    assert np.log([low, high]) == pytest.approx(expected, abs=0.15 * np.ptp(expected))
    assert np.log(high / low) == pytest.approx(2 * 1.96 * plain.std(), rel=0.1)


def test_it_covers_the_truth_as_often_as_it_says_and_woolf_does_not() -> None:
    truth = (0.4 / 0.6) / (0.2 / 0.8)
    covered = {"images": 0, "woolf": 0}
    n_trials = 200
    for seed in range(n_trials):
        rng = np.random.default_rng(seed)
        skill, base = fires(rng, 0.4, 0.8), fires(rng, 0.2, 0.8)
        low, high = interval_of(skill, base, 100, seed)
        covered["images"] += int(low[0] <= truth <= high[0])
        cells = (skill.sum(), (~skill).sum(), base.sum(), (~base).sum())
        narrow = woolf_interval(*cells)
        covered["woolf"] += int(narrow.low <= truth <= narrow.high)

    # 95 % of 200, give or take three standard errors; tokens that are alike fool Woolf
    assert 180 <= covered["images"] <= n_trials
    assert covered["woolf"] < 150


def test_where_replicates_agree_the_interval_is_woolfs() -> None:
    cells = (np.array([9, 0]), np.array([1, 40]), np.array([4, 0]), np.array([19, 80]))
    same = tuple(np.repeat(cell[:, None], 5, axis=1) for cell in cells)

    interval = bootstrap_odds_ratio_interval(*cells, same)

    np.testing.assert_allclose(interval, woolf_interval(*cells))


def test_odds_and_woolf_agree_with_statsmodels_where_it_adds_the_half_itself() -> None:
    cells = np.random.default_rng(4).integers(1, 90, (4, 6)).astype(float)

    low, high = woolf_interval(*cells)
    for i in range(6):
        table = sm.stats.Table2x2((cells[:, i] + 0.5).reshape(2, 2), shift_zeros=False)
        assert odds_ratio(*cells)[i] == pytest.approx(table.oddsratio)
        assert (low[i], high[i]) == pytest.approx(table.oddsratio_confint(), rel=1e-6)


def counts_of(tokens_fired: list[int], tokens: int, questions_fired: list[int], questions: int):
    return FiringCounts(
        *(torch.tensor(of) for of in (tokens_fired, tokens, questions_fired, questions))
    )


def test_matched_columns_by_hand() -> None:
    skill, base = counts_of([9, 0], 10, [3, 0], 4), counts_of([4, 2], 23, [2, 1], 4)

    roles, pairs = role_matched([skill, skill], [base, base]), length_matched([skill], [base])

    assert roles.role_fired_skill.tolist() == [9, 0, 9, 0]
    assert roles.role_delta_p[0] == pytest.approx(9 / 10 - 4 / 23)
    assert roles.role_odds_ratio[0] == pytest.approx((9.5 * 19.5) / (1.5 * 4.5))
    assert pairs.matched_questions.tolist() == [4, 4]
    assert pairs.matched_questions_fired_skill.tolist() == [3, 0]
    assert pairs.matched_questions_fired_base.tolist() == [2, 1]
    assert pairs.matched_odds_ratio[1] == pytest.approx((0.5 * 21.5) / (10.5 * 2.5))
    assert (pairs.matched_odds_ratio_low < pairs.matched_odds_ratio).all()


def test_nothing_to_compare_is_refused() -> None:
    some, none = counts_of([1], 5, [1], 2), counts_of([0], 0, [0], 0)
    with pytest.raises(ValueError, match="skill's set has no tokens in some layer"):
        length_matched([none], [some])
    with pytest.raises(ValueError, match="base set has no tokens"):
        role_matched([some], [])
    with pytest.raises(ValueError, match="2 features in the skill's set, 1 in the base set"):
        role_matched([some, some], [some])
    with pytest.raises(ValueError, match=r"replicates are \[1, 1\], counts \[1\]"):
        bootstrap_odds_ratio_interval(*[np.ones(1)] * 4, (np.ones((1, 1)),) * 4)
