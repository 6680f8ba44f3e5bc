"""Every interval and test against scipy, statsmodels or a number worked out by hand."""

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.contingency_tables import Table2x2, mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from feature_atlas.statistics.uncertainty import (
    benjamini_hochberg,
    clustered_bootstrap,
    matthews_correlation,
    mcnemar_exact,
    odds_ratio,
    odds_ratio_p_value,
    wilson_interval,
    woolf_interval,
)

random = np.random.Generator(np.random.get_bit_generator())  # seeded for each test


def test_odds_ratio_by_hand_with_a_half_in_every_cell() -> None:
    # (9.5 * 19.5) / (1.5 * 4.5): also where no cell is zero
    assert odds_ratio(9, 1, 4, 19) == pytest.approx(27.4444444)
    # never fired anywhere: (0.5 * 10.5) / (10.5 * 0.5)
    assert odds_ratio(0, 10, 0, 10) == 1.0


def test_woolf_interval_by_hand() -> None:
    low, high = woolf_interval(9, 1, 4, 19)

    # log 27.444 = 3.31216, SE = sqrt(1/9.5 + 1/1.5 + 1/4.5 + 1/19.5) = 1.02246
    assert (np.log(low), np.log(high)) == pytest.approx((1.30817, 5.31616), abs=1e-5)


def test_odds_ratios_equal_statsmodels_on_tables_with_the_half_already_added() -> None:
    cells = random.integers(0, 50, size=(4, 100))
    low, high = woolf_interval(*cells, confidence=0.9)
    for i, (a, b, c, d) in enumerate(cells.T + 0.5):
        table = Table2x2(np.array([[a, b], [c, d]]), shift_zeros=False)
        ours = (odds_ratio(*cells)[i], low[i], high[i], odds_ratio_p_value(*cells)[i])
        theirs = (
            table.oddsratio, *table.oddsratio_confint(alpha=0.1), table.oddsratio_pvalue()
        )  # fmt: skip
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_statsmodels_own_correction_is_another_one() -> None:
    corrected_only_where_zero = Table2x2(np.array([[10, 0], [5, 5]]), shift_zeros=True).oddsratio

    assert odds_ratio(10, 0, 5, 5) == pytest.approx(21.0)
    assert corrected_only_where_zero != pytest.approx(21.0)


def test_a_million_tables_are_one_call() -> None:
    fired = random.integers(0, 1000, size=10**6)

    assert odds_ratio(fired, 5000 - fired, 100, 10_000).shape == (10**6,)


def test_benjamini_hochberg_by_hand() -> None:
    # sorted p * n / rank = 0.04, 0.04, 0.053, 0.5; the smallest of those still to come
    np.testing.assert_allclose(
        benjamini_hochberg([0.02, 0.01, 0.5, 0.04]), [0.04, 0.04, 0.5, 0.16 / 3]
    )


def test_q_values_equal_scipy_and_statsmodels_also_with_ties_and_in_two_dimensions() -> None:
    p = np.round(random.uniform(size=(6, 50)) ** 3, 2)

    q = benjamini_hochberg(p)

    np.testing.assert_allclose(q.ravel(), scipy.stats.false_discovery_control(p.ravel()))
    np.testing.assert_allclose(q.ravel(), multipletests(p.ravel(), method="fdr_bh")[1])


def test_mcnemar_by_hand_as_in_the_papers_smallest_row() -> None:
    # 5 flips against 0: 2 * (1/2)^5; 8 against 2: 2 * (1 + 10 + 45) / 1024; none: nothing to see
    np.testing.assert_allclose(mcnemar_exact([5, 8, 0, 3], [0, 2, 0, 3]), [0.0625, 0.109375, 1, 1])


def test_mcnemar_equals_statsmodels_and_the_binomial_test() -> None:
    b, c = random.integers(0, 80, size=(2, 60))
    p = mcnemar_exact(b, c)
    for i in range(60):
        theirs = mcnemar(np.array([[10, b[i]], [c[i], 10]]), exact=True).pvalue
        assert p[i] == pytest.approx(theirs, rel=1e-9)
    at_least_one = b + c > 0
    binomial = [
        scipy.stats.binomtest(int(k), int(n)).pvalue
        for k, n in zip(b[at_least_one], (b + c)[at_least_one], strict=True)
    ]
    np.testing.assert_allclose(p[at_least_one], binomial, rtol=1e-9)


def test_wilson_interval_by_hand_and_as_statsmodels_has_it() -> None:
    # 0 of 10: high = z^2 / (10 + z^2) = 3.8415 / 13.8415
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)
    trials = random.integers(1, 100, size=200)
    successes = random.binomial(trials, 0.2)

    ours = wilson_interval(successes, trials)

    theirs = proportion_confint(successes, trials, alpha=0.05, method="wilson")
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert ours.low.min() >= 0
    assert ours.high.max() <= 1


def test_nothing_tried_means_nothing_known() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_matthews_correlation_by_hand() -> None:
    # (6*3 - 1*2) / sqrt(7 * 8 * 4 * 5); always yes; always wrong
    np.testing.assert_allclose(
        matthews_correlation([6, 5, 0], [1, 5, 5], [2, 0, 5], [3, 0, 0]),
        [16 / np.sqrt(1120), 0, -1],
    )


def test_matthews_correlation_is_the_correlation_of_two_binary_columns() -> None:
    truth, said = random.integers(0, 2, size=(2, 200))
    cells = [np.sum((said == s) & (truth == t)) for s, t in ((1, 1), (1, 0), (0, 1), (0, 0))]

    assert matthews_correlation(*cells) == pytest.approx(np.corrcoef(truth, said)[0, 1])


def _slow_bootstrap(values: np.ndarray, clusters: np.ndarray, n_draws: int) -> tuple[float, float]:
    names = np.unique(clusters)
    means = []
    for _ in range(n_draws):
        drawn = random.choice(names, size=len(names))
        means.append(np.concatenate([values[clusters == name] for name in drawn]).mean())
    return tuple(np.quantile(means, (0.025, 0.975)))


def test_bootstrap_equals_a_plain_loop_over_resampled_images() -> None:
    clusters = random.integers(0, 30, size=80)
    values = random.normal(size=80) + random.normal(size=30)[clusters]

    low, high = clustered_bootstrap(values, clusters, n_draws=20_000)

    # two Monte Carlo runs of the same thing; the interval is about 1 wide
    assert (low, high) == pytest.approx(_slow_bootstrap(values, clusters, 2_000), abs=0.08)


def test_bootstrap_of_images_seen_once_is_the_normal_interval_of_a_mean() -> None:
    values = random.normal(size=2000)
    error = values.std() / np.sqrt(2000)

    low, high = clustered_bootstrap(values, np.arange(2000), n_draws=4000)

    expected = (values.mean() - 1.96 * error, values.mean() + 1.96 * error)
    assert (low, high) == pytest.approx(expected, abs=0.2 * error)


def test_copies_of_an_image_do_not_narrow_the_interval() -> None:
    values = random.normal(size=40)
    once = clustered_bootstrap(values, np.arange(40), n_draws=500)

    five_times = clustered_bootstrap(np.tile(values, 5), np.tile(np.arange(40), 5), n_draws=500)

    np.testing.assert_allclose(five_times, once)


def test_columns_are_resampled_together_and_the_seed_decides() -> None:
    values = random.normal(size=(60, 2, 3))
    clusters = np.array([f"image {i // 2}" for i in range(60)])
    all_at_once = clustered_bootstrap(values, clusters, n_draws=300, seed=5)

    one = clustered_bootstrap(values[:, 1, 2], clusters, n_draws=300, seed=5)

    assert all_at_once.low.shape == (2, 3)
    np.testing.assert_allclose((all_at_once.low[1, 2], all_at_once.high[1, 2]), one)
    another_seed = clustered_bootstrap(values[:, 1, 2], clusters, n_draws=300, seed=6)
    assert another_seed.low != one.low


def test_drawing_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values, clusters = random.normal(size=50), np.arange(50) // 2
    whole = clustered_bootstrap(values, clusters, n_draws=101)

    monkeypatch.setattr("feature_atlas.statistics.uncertainty._RESAMPLED_AT_ONCE", 25 * 7)

    np.testing.assert_allclose(clustered_bootstrap(values, clusters, n_draws=101), whole)


def test_an_effect_of_one_flip_in_every_image_is_certain() -> None:
    image = [0, 0, 0, 0, 0, 0, 1, 2, 2, 2]

    assert clustered_bootstrap(-np.ones(10), image, n_draws=50) == (-1.0, -1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: odds_ratio(5, -1, 3, 4), "b must be counts .* the smallest is -1"),
        (lambda: odds_ratio(5, 1, np.nan, 4), "c must be counts"),
        (lambda: woolf_interval(1, 1, 1, 1, confidence=95), "between 0 and 1, got 95"),
        (lambda: benjamini_hochberg([0.1, np.nan]), "1 do not, the first is nan"),
        (lambda: wilson_interval([1, 4], [2, 3]), "4 successes in 3 trials"),
        (lambda: clustered_bootstrap([1, 2], [0]), "one cluster .image. id per sample"),
        (lambda: clustered_bootstrap([1, np.nan], [0, 1]), "NaN or inf"),
        (lambda: clustered_bootstrap([1, 2], [7, 7]), "at least 2. Evaluate on more images"),
        (lambda: clustered_bootstrap([], []), "0 samples in 0 cluster"),
    ],
)
def test_impossible_numbers_are_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
