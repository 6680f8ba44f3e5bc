"""The adapted set, its sweep and the candidates, against sorting and sets."""

from itertools import product

import numpy as np
import pytest

from feature_atlas.features.firing_shift import FiringShift
from feature_atlas.features.selection import (
    adapted_set,
    beyond_null,
    candidates,
    cosine_rank,
    threshold_sweep,
    turned_by_vision,
)

random = np.random.Generator(np.random.get_bit_generator())  # seeded for each test


def test_adapted_by_hand() -> None:
    cosine = np.array([[0.1, 0.2, 0.9, 0.95], [0.3, 0.5, 0.8, 1.0]])
    energy = np.array([[1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])

    adapted = adapted_set(cosine, energy, cosine_quantile=0.375)

    # the three most turned of all eight, in whatever layer, but for the one that is silent
    assert adapted.tolist() == [[True, False, False, False], [True, False, False, False]]


def test_rank_is_the_share_of_features_that_turned_further() -> None:
    cosine = random.normal(size=(3, 50)).round(1)

    rank = cosine_rank(cosine)

    np.testing.assert_allclose(rank, [[(cosine < c).mean() for c in row] for row in cosine])


def test_a_quarter_of_distinct_cosines_is_selected_as_by_the_percentile() -> None:
    cosine, energy = random.uniform(-1, 0.99, size=(4, 100)), np.ones((4, 100))

    adapted = adapted_set(cosine, energy)

    assert adapted.sum() == 100
    np.testing.assert_array_equal(adapted, cosine < np.quantile(cosine, 0.25))


def test_features_never_updated_count_in_the_percentile_but_are_not_selected() -> None:
    cosine = np.ones((2, 10))
    cosine[0, :3] = 0.5, 0.6, 0.7  # 15 %: the 25th percentile is 1

    adapted = adapted_set(cosine, np.ones((2, 10)))

    assert np.flatnonzero(adapted).tolist() == [0, 1, 2]


def test_energy_must_exceed_epsilon() -> None:
    cosine = np.linspace(0, 0.9, 8)[None]

    adapted = adapted_set(cosine, np.full((1, 8), 1e-3), epsilon=1e-3, cosine_quantile=1)

    assert not adapted.any()


def test_an_energy_on_the_threshold_of_another_precision_is_compared_as_it_is() -> None:
    energy = np.full((1, 4), 1e-3, np.float32)  # a little above one thousandth
    cosine = np.zeros((1, 4), np.float32)

    for epsilon, is_above in ((1e-3, True), (np.float64(1e-3), True), (float(energy[0, 0]), False)):
        assert adapted_set(cosine, energy, epsilon=epsilon, cosine_quantile=1).all() == is_above


def test_beyond_the_null_is_surely_and_by_enough() -> None:
    excess, q_value = np.array([[0.2, 0.05, 0.04, 0.2]]), np.array([[0.05, 0.0, 0.0, 0.06]])

    assert beyond_null(excess, q_value).tolist() == [[True, True, False, False]]
    assert beyond_null(excess, q_value, min_excess=0.0)[0, 2]
    assert beyond_null(excess, q_value, max_q=0.06)[0, 3]


def test_turned_by_vision_is_adapted_beyond_the_null_and_beyond_language() -> None:
    adapted, null, language = np.array(list(product([True, False], repeat=3))).T[:, None]

    assert turned_by_vision(adapted, null, language).tolist() == [[True, *[False] * 7]]


def test_a_class_of_features_that_were_not_all_compared_is_refused() -> None:
    truth, q = np.ones((2, 3), bool), np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"\[\[2, 3\], \[1, 3\], \[2, 3\]\]: pass all as \[layer"):
        turned_by_vision(truth, truth[:1], truth)
    with pytest.raises(ValueError, match=r"\[\[2, 3\], \[1, 3\]\]: pass all as \[layer"):
        beyond_null(q, q[:1])
    for name, arguments in {
        "excess_rotation": (q * np.nan, q),
        "rotation_q_value": (q, q * np.nan),
    }.items():
        with pytest.raises(ValueError, match=f"{name} has 6 NaN among 6"):
            beyond_null(*arguments)
    with pytest.raises(ValueError, match=r"5 % is 0.05\); got 5"):
        beyond_null(q, q, max_q=5)


def test_the_sweep_equals_sets_compared_one_by_one() -> None:
    cosine, energy = random.uniform(-1, 1, (5, 60)), random.exponential(1e-3, (5, 60))
    epsilons, quantiles = (0.0, 5e-4, 1e-3, 1.0), (0.1, 0.25, 0.6)

    sweep = threshold_sweep(cosine, energy, epsilons, quantiles)

    chosen = adapted_set(cosine, energy)
    for i, epsilon in enumerate(epsilons):
        for j, quantile in enumerate(quantiles):
            here = adapted_set(cosine, energy, epsilon=epsilon, cosine_quantile=quantile)
            names, chosen_names = set(np.flatnonzero(here)), set(np.flatnonzero(chosen))
            jaccard = len(names & chosen_names) / len(names | chosen_names)
            assert sweep.n_selected[i, j] == len(names)
            assert sweep.jaccard[i, j] == pytest.approx(jaccard)
            if np.ptp(here.sum(1)) and np.ptp(chosen.sum(1)):
                expected = np.corrcoef(here.sum(1), chosen.sum(1))[0, 1]
                assert sweep.layer_correlation[i, j] == pytest.approx(expected)


def test_the_sweep_at_the_chosen_point_agrees_with_itself_and_is_never_nan() -> None:
    cosine, energy = np.tile(np.linspace(0, 0.9, 8), (2, 1)), np.ones((2, 8))

    sweep = threshold_sweep(cosine, energy, (1e-3, 9.0), (0.25,))

    assert sweep.n_selected.tolist() == [[4], [0]]
    assert sweep.jaccard.tolist() == [[1.0], [0.0]]
    # two features in each layer: no correlation is defined
    assert sweep.layer_correlation.tolist() == [[0.0], [0.0]]


def shift_of(**columns: list[float]) -> FiringShift:
    n = len(next(iter(columns.values())))
    passing = {"delta_p": 0.1, "odds_ratio_low": 2.0, "fired_skill": 30, "q_value": 0.01}
    filled = {name: np.full(n, passing.get(name, 0)) for name in FiringShift._fields}
    return FiringShift(**(filled | {name: np.array(values) for name, values in columns.items()}))


def test_a_candidate_passes_all_four_conditions() -> None:
    shift = shift_of(
        delta_p=[0.1, 0.0, 0.1, 0.1, 0.1],
        odds_ratio_low=[1.5, 2.0, 1.4, 2.0, 2.0],
        fired_skill=[15, 30, 30, 15, 30],
        fired_base=[5, 0, 0, 4, 0],
        q_value=[0.05, 0.0, 0.0, 0.0, 0.06],
    )

    # one passes at every edge, the others fail one condition each
    assert candidates(shift).tolist() == [True, False, False, False, False]


def test_candidates_follow_their_thresholds() -> None:
    shift = shift_of(delta_p=[0.01, 0.1], odds_ratio_low=[1.2, 5.0])

    assert candidates(shift, min_odds_ratio=1.0).tolist() == [True, True]
    assert candidates(shift, min_delta_p=0.05, min_odds_ratio=1.0).tolist() == [False, True]
    assert not candidates(shift, min_fired=31).any()
    assert not candidates(shift, max_q=0.001).any()


def test_features_that_were_not_all_measured_are_refused() -> None:
    ones = np.ones((2, 4))
    with pytest.raises(ValueError, match=r"cosine is \[2, 4\], energy \[1, 4\]"):
        adapted_set(ones, ones[:1])
    with pytest.raises(ValueError, match="cosine has 1 NaN among 8 values"):
        adapted_set(np.where(np.eye(2, 4) * [1, 0, 0, 0], np.nan, ones), ones)
    with pytest.raises(ValueError, match="energy has 8 NaN among 8"):
        threshold_sweep(ones, np.nan * ones, (0.1,), (0.25,))
    with pytest.raises(ValueError, match=r"25 % is 0.25\); got 25"):
        adapted_set(ones, ones, cosine_quantile=25)
