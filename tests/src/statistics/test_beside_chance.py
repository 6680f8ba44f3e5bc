"""Summaries against scipy's and statsmodels' own intervals."""

import numpy as np
import pytest
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

from feature_atlas.statistics.beside_chance import summary


def test_numbers_have_students_interval_and_missing_ones_are_left_out():
    found = summary(np.array([0.2, np.nan, 0.4, 0.9, 0.5]))

    values = np.array([0.2, 0.4, 0.9, 0.5])
    expected = student.interval(0.95, 3, values.mean(), values.std(ddof=1) / 2)
    assert (found.n, found.mean) == (4, pytest.approx(0.5))
    np.testing.assert_allclose((found.low, found.high), expected)
    # 5 % of the way through three gaps: 0.15 of the first
    assert (found.p5, found.p95) == (pytest.approx(0.23), pytest.approx(0.84))


def test_a_share_has_wilsons_interval_even_where_nobody_has_it():
    assert summary(np.zeros(9, bool)).low == 0
    for n_yes in (0, 3):
        found = summary(np.arange(9) < n_yes)
        assert found.mean == pytest.approx(n_yes / 9)
        expected = proportion_confint(n_yes, 9, method="wilson")
        np.testing.assert_allclose((found.low, found.high), expected, atol=1e-12)
        assert np.isnan([found.p5, found.p95]).all()


def test_too_few_have_no_interval():
    assert summary(np.array([np.nan])).n == 0
    assert np.isnan(summary(np.array([]))[1:]).all()
    alone = summary(np.array([0.7]))
    assert (alone.n, alone.mean, alone.p5) == (1, 0.7, 0.7)
    assert np.isnan([alone.low, alone.high]).all()
