"""Directions from labels: planted ones are found, and the fits are those of others."""

import numpy as np
import pytest
from scipy.special import expit
from statsmodels.api import GLM, add_constant, families

from feature_atlas.ablation.supervised_direction import (
    METHODS,
    area_under_curve,
    difference_of_means,
    probe_weights,
    supervised_direction,
)


def test_the_difference_of_means_is_that_of_the_means() -> None:
    x = np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [0.0, 6.0]])
    is_yes = np.array([True, True, False, False])

    assert difference_of_means(x, is_yes).tolist() == [2, -4]
    assert supervised_direction("diff_mean", x, is_yes) == pytest.approx(
        [2 / 20**0.5, -4 / 20**0.5]
    )


def test_means_are_taken_in_float64() -> None:
    x = np.array([[1e8], [1e8 + 8], [1e8]] * 1000, np.float32)  # eight: what float32 resolves there
    is_yes = np.array([False, True, True] * 1000)

    assert difference_of_means(x, is_yes).item() == 4


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_the_probe_is_that_of_statsmodels(c: float) -> None:
    dice = np.random.default_rng(3)
    x = dice.normal(size=(60, 4)) * 3 + 7
    is_yes = dice.random(60) < expit(x @ [0.2, -0.3, 0, 0.1])

    found = probe_weights(x, is_yes, c)

    centred = x - x.mean(0)
    z = add_constant(centred / np.sqrt((centred**2).mean()))
    ridge = np.array([0, 1, 1, 1, 1]) / (c * len(x))  # its loss is the mean over statements
    theirs = GLM(is_yes.astype(float), z, families.Binomial()).fit_regularized(
        alpha=ridge, L1_wt=0.0, cnvrg_tol=1e-13, maxiter=2000
    )
    np.testing.assert_allclose(found, theirs.params[1:], atol=1e-4)


def test_a_residual_in_another_unit_gives_the_same_direction() -> None:
    dice = np.random.default_rng(4)
    x, is_yes = dice.normal(size=(40, 6)), np.arange(40) % 3 == 0

    for method in METHODS:
        one = supervised_direction(method, x, is_yes)
        other = supervised_direction(method, 70 * x + 5, is_yes)
        assert one @ other == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_both_find_a_planted_direction(seed: int) -> None:
    dice = np.random.default_rng(200 + seed)
    planted = dice.normal(size=64)
    planted /= np.linalg.norm(planted)
    is_yes = np.arange(2000) % 2 == 0
    x = 20 + dice.normal(size=(2000, 64)) + 2 * np.outer(is_yes, planted)
    unseen = 20 + dice.normal(size=(2000, 64)) + 2 * np.outer(is_yes, planted)

    for method in METHODS:
        found = supervised_direction(method, x, is_yes)
        shuffled = supervised_direction(method, x, dice.permutation(is_yes))
        assert found @ planted > 0.9
        assert abs(shuffled @ planted) < 0.5
        assert area_under_curve(unseen @ found, is_yes) > 0.85
        assert np.linalg.norm(found) == pytest.approx(1)


def test_nothing_to_tell_apart_is_no_direction() -> None:
    x, is_yes = np.ones((4, 3)), np.array([True, False, True, False])

    for method in METHODS:
        assert supervised_direction(method, x, is_yes).tolist() == [0, 0, 0]


def test_labels_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="4 statements, 4 labels, 4 of them yes"):
        difference_of_means(np.ones((4, 3)), np.ones(4, bool))


def test_the_area_under_the_curve_counts_pairs() -> None:
    is_yes = np.array([True, True, False, False])

    assert area_under_curve(np.array([3.0, 1, 1, 0]), is_yes) == (1 + 1 + 0.5 + 1) / 4
    assert area_under_curve(np.array([1.0, 2, 3, 4]), np.ones(4, bool)) is None
