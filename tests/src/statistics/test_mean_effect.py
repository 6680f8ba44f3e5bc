"""Effects over a few samples, beside scipy's t test."""

import numpy as np
import pytest
from scipy import stats

from feature_atlas.statistics.mean_effect import mean_effect


def test_interval_and_p_value_are_those_of_the_t_test() -> None:
    effects = np.random.default_rng(0).normal(0.3, 1, (8, 2, 5))

    found = mean_effect(effects)

    expected = stats.ttest_1samp(effects, 0)
    interval = expected.confidence_interval(0.95)
    np.testing.assert_allclose(found.p_value, expected.pvalue)
    np.testing.assert_allclose(found.low, interval.low)
    np.testing.assert_allclose(found.high, interval.high)
    np.testing.assert_allclose(found.standard_error, stats.sem(effects))


def test_what_never_varies_is_certain() -> None:
    found = mean_effect(np.array([[0.0, 2.0], [0.0, 2.0], [0.0, 2.0]]))

    assert found.p_value.tolist() == [1.0, 0.0]
    assert found.low.tolist() == found.high.tolist() == [0.0, 2.0]


def test_one_sample_has_no_spread() -> None:
    with pytest.raises(ValueError, match=r"effects of 1 sample\(s\), expected 2 or more"):
        mean_effect(np.ones((1, 3)))
