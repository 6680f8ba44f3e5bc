"""Controls that fire as often and project as much."""

import math

import numpy as np
import pytest
import torch

from feature_atlas.ablation.control import (
    control_p_value,
    matched_controls,
    mean_projection,
    random_controls,
    random_directions,
    variance_factor,
)


def test_mean_projection_by_hand() -> None:
    residual = torch.tensor([[1.0, 2.0], [-3.0, 0.0]])

    assert mean_projection(residual, torch.eye(2)).tolist() == [2.0, 1.0]


def test_controls_fire_as_often_and_project_as_much() -> None:
    rate = np.array([0.10, 0.11, 0.12, 0.10, 0.20, 0.10, 0.0])
    projection = np.array([1.0, 1.1, 0.9, 3.0, 1.0, 0.81, 1.0])

    controls = matched_controls(rate, projection, 0, n=3, seed=1)

    assert sorted(controls.features) == [1, 2, 5]
    assert (controls.tolerance, controls.is_widened) == (0.25, False)
    assert controls == matched_controls(rate, projection, 0, n=3, seed=1)


def test_too_few_matches_widen_the_tolerance_and_say_so() -> None:
    rate = np.array([0.10, 0.11, 0.19, 0.9, 0.0])
    projection = np.ones(5)

    controls = matched_controls(rate, projection, 0, n=2)

    assert sorted(controls.features) == [1, 2]  # 0.19 / 0.10 is within 1 + 4 * 0.25
    assert (controls.tolerance, controls.is_widened) == (1.0, True)
    everyone = matched_controls(rate, projection, 0, n=10, exclude=[1])
    assert sorted(everyone.features) == [2, 3]  # neither itself, the excluded nor the silent one
    assert len(matched_controls(rate, projection, 0, n=2, tolerance=math.inf).features) == 2


def test_controls_of_a_silent_feature_are_refused() -> None:
    with pytest.raises(ValueError, match="feature 1 never fires"):
        matched_controls(np.array([0.1, 0.0]), np.ones(2), 1)


def test_uniform_controls_leave_the_excluded_out_and_reach_all_others() -> None:
    drawn = random_controls(6, n=10, seed=1, exclude=[0, 3])

    assert sorted(drawn) == [1, 2, 4, 5]
    assert len(random_controls(100, n=5)) == len(set(random_controls(100, n=5))) == 5


def test_a_random_direction_takes_as_much_variance_as_the_feature() -> None:
    residual = torch.randn(500, 16, generator=torch.Generator().manual_seed(3)) * torch.arange(16)
    v, u = random_directions(16, n=2, seed=4)

    factor = variance_factor(residual, v, u)

    assert (v.norm(), u.norm()) == (pytest.approx(1), pytest.approx(1))
    assert abs(float(v @ u)) < 0.9
    taken = (residual @ v).square().mean()
    torch.testing.assert_close((factor * (residual @ u)).square().mean(), taken)


def test_a_feature_among_its_controls_by_hand() -> None:
    controls = np.array([-0.1, 0.0, -0.02, 0.03])

    assert control_p_value(-0.2, controls) == 1 / 5
    assert control_p_value(-0.02, controls) == 3 / 5  # one as bad, one worse, and itself
    assert control_p_value(0.5, controls) == 1.0
