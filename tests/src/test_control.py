"""Controls that fire as often and project as much."""

import math

import numpy as np
import pytest
import torch

from feature_atlas.control import matched_controls, mean_projection


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
