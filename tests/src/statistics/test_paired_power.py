"""What paired answers could have shown, against brute force and simulation."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from feature_atlas.statistics.paired_power import detectable_delta, mcnemar_power
from feature_atlas.statistics.uncertainty import mcnemar_exact


def by_enumeration(n: int, discordance: float, delta: float) -> float:
    """Power as a double sum over both counts, with scipy's test."""
    total = 0.0
    for m in range(n + 1):
        p_rarer = (discordance - delta) / (2 * discordance)
        for x in range(m + 1):
            is_found = m > 0 and binomtest(x, m, 0.5).pvalue <= 0.05 + 1e-12
            total += is_found * binom.pmf(m, n, discordance) * binom.pmf(x, m, p_rarer)
    return total


@pytest.mark.parametrize(
    ("n", "discordance", "delta"), [(12, 0.5, 0.3), (25, 0.3, 0.3), (30, 0.9, 0.0), (9, 1.0, 0.5)]
)
def test_power_is_the_sum_over_all_outcomes(n: int, discordance: float, delta: float) -> None:
    found = mcnemar_power(n, discordance, delta)

    assert found == pytest.approx(by_enumeration(n, discordance, delta), abs=1e-9)


@pytest.mark.parametrize(("n", "n_changed"), [(94, 10), (341, 30), (200, 0)])
def test_an_effect_of_the_detectable_size_is_found_in_four_of_five_simulations(
    n: int, n_changed: int
) -> None:
    delta = detectable_delta(n, n_changed)
    assert delta is not None
    discordance = max(n_changed / n, delta)
    random = np.random.default_rng(n)

    changed = random.binomial(n, discordance, 40_000)
    broken = random.binomial(changed, (discordance + delta) / (2 * discordance))
    is_found = mcnemar_exact(broken, changed - broken) <= 0.05

    assert is_found.mean() == pytest.approx(0.8, abs=0.01)  # standard error 0.002


def test_more_answers_show_smaller_effects_and_few_show_none() -> None:
    sizes = [detectable_delta(n, n // 10) for n in (94, 210, 480, 846)]

    assert sizes == sorted(sizes, reverse=True)
    assert detectable_delta(5, 1) is None  # five of five changed one way: p is 0.0625
    assert detectable_delta(6, 0) == pytest.approx(0.8 ** (1 / 6), abs=1e-6)  # all six must change


def test_impossible_counts_and_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="7 of 6 answers changed"):
        detectable_delta(6, 7)
    with pytest.raises(ValueError, match="no more can change one way than change"):
        mcnemar_power(10, 0.1, 0.2)
