"""The linear code of places: erased exactly, found where it is planted, and what remains."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from feature_atlas.ablation.spatial_code import (
    Objects,
    code_share,
    erased,
    outside,
    position_code,
    readout_r2,
    remaining,
)

HALF = 0.5**0.5


def planted(seed: int, n: int, strength: float) -> tuple[Objects, np.ndarray]:
    """Residuals with x and y along two directions of their own, and much else; first the second
    halves of sentences are elsewhere, which says nothing of places."""
    dice = np.random.default_rng(seed)
    directions = np.linalg.qr(dice.normal(size=(24, 2)))[0].T
    p, order = dice.random((n, 2)), np.arange(n) % 2
    shift = 30 * dice.normal(size=24)
    h = dice.normal(size=(n, 24)) + strength * p @ directions + np.outer(order, shift)
    return Objects(h, p + 0.2 * order[:, None], order), directions


def thirds(objects: Objects) -> list[Objects]:
    return [objects.only(np.arange(len(objects.h)) % 3 == third) for third in range(3)]


def test_by_hand() -> None:
    """x is written along (1, 1, 0), y nowhere."""
    p = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    h = np.array([[0.0, 0, 5], [1, 1, 5], [0, 0, 5], [1, 1, 5]])
    objects = Objects(h, p, np.zeros(4, int))

    code = position_code(objects)

    assert np.abs(code) == pytest.approx(np.array([[HALF, HALF, 0]]))
    assert erased(objects, code).h == pytest.approx(np.array([[0, 0, 5]] * 4))
    assert code_share(np.array([1.0, 0, 0]), code) == pytest.approx(0.5)
    assert outside(np.array([1.0, 0, 0]), code) == pytest.approx([HALF, -HALF, 0])
    assert outside(np.array([3.0, 3, 0]), code).tolist() == [0, 0, 0]


def test_what_is_erased_has_no_covariance_with_places() -> None:
    objects, _ = planted(0, 60, 3.0)

    left = erased(objects, position_code(objects)).centred()

    assert np.abs(left.p.T @ left.h).max() < 1e-9 * np.abs(objects.h).max()


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_code_is_found_and_erased(seed: int) -> None:
    objects, directions = planted(300 + seed, 3000, 6.0)
    train, fitted, judged = thirds(objects)

    code = position_code(train)

    assert np.linalg.svd(directions @ code.T)[1].min() > 0.97  # cosine of the larger angle
    assert min(readout_r2(fitted, judged)) > 0.5
    assert max(readout_r2(erased(fitted, code), erased(judged, code))) < 0.1
    assert np.abs(readout_r2(erased(train, code), judged)).max() < 1e-9  # by construction


def test_where_there_is_no_code_nothing_is_read() -> None:
    objects, _ = planted(7, 600, 0.0)
    fitted, judged, _ = thirds(objects)

    assert max(readout_r2(fitted, judged)) < 0.05


def test_a_readout_is_ridge_regression_by_its_normal_equations() -> None:
    objects, _ = planted(1, 90, 2.0)
    train, unseen, _ = thirds(objects)
    one, other = train.centred(), unseen.centred()
    reachable = []
    for ridge in [10.0**power for power in range(-6, 4)]:
        penalty = ridge * np.square(one.h).mean() * len(one.h) * np.eye(24)
        weights = np.linalg.solve(one.h.T @ one.h + penalty, one.h.T @ one.p)
        wrong = np.square(other.p - other.h @ weights).sum(0) / np.square(other.p).sum(0)
        reachable.append(1 - wrong)

    found = readout_r2(train, unseen)

    assert min(np.abs(np.array(found) - r2).max() for r2 in reachable) < 1e-9


def test_what_remains_is_a_ratio_of_means_with_a_paired_interval() -> None:
    dice = np.random.default_rng(5)
    whole = dice.normal(-0.5, 0.3, 80)
    part = 0.4 * whole + dice.normal(0, 0.05, 80)

    found = remaining(part, whole, np.arange(80))

    assert found is not None
    assert found.share == pytest.approx(part.mean() / whole.mean())
    theirs = bootstrap(
        (part, whole), lambda a, b: a.mean() / b.mean(), paired=True, vectorized=False,
        method="percentile", n_resamples=5000, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert [found.low, found.high] == pytest.approx([theirs.low, theirs.high], abs=0.01)
    assert remaining(part, whole - whole.mean(), np.arange(80)) is None
