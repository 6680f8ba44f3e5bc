"""Rotation beyond the refit null: exact where it can be counted, calibrated and strong in worlds.

In a world rotation grows with the number of firings and scatters more for rare features, with tails
heavier than a normal's; a feature that turns far in one training tends to in another. Worlds have
numbers: what is found in one is chance, and what a test finds must not be.
"""

from itertools import pairwise

import numpy as np
import pytest

from feature_atlas.features import excess_rotation as module
from feature_atlas.features.excess_rotation import Rotation, excess_rotation, turned_further

random = np.random.Generator(np.random.get_bit_generator())  # seeded for each test


class World:
    """Features of some layers, which may be trained again and again."""

    def __init__(self, n_layers: int = 6, d_sae: int = 1024, *, seed: int = 0) -> None:
        self.shape, self.random = (n_layers, d_sae), np.random.default_rng(seed)
        self.firings = np.exp(self.random.normal(5, 2, self.shape))
        self.firings[self.random.random(self.shape) < 0.05] = 0
        self.own = self.random.normal(size=self.shape)

    def trained(self, extra_degrees: np.ndarray | float = 0.0) -> Rotation:
        """One training; some features turn by more than training."""
        n = self.firings * np.exp(self.random.normal(0, 0.3, self.shape))
        n = np.where(self.firings > 0, np.maximum(n, 1), 0).astype(np.int64)
        noise = 0.6 * self.own + 0.8 * self.random.standard_t(6, self.shape)
        scatter = 0.25 + 0.6 / np.sqrt(1 + n)
        rotation = np.exp(-6 + 0.4 * np.log1p(n) + scatter * noise)
        rotation += 1 - np.cos(np.deg2rad(extra_degrees))
        cosine = np.where(n > 0, np.clip(1 - rotation, -1, 1), 1).astype(np.float32)
        return Rotation(cosine, n)

    def planted(self, share: float) -> tuple[np.ndarray, np.ndarray]:
        """Which features turn, and by how many degrees."""
        turns = (self.random.random(self.shape) < share) & (self.firings > 20)
        return turns, np.where(turns, self.random.uniform(35, 70, self.shape), 0)


def equal_firings(*cosines: np.ndarray) -> list[Rotation]:
    return [Rotation(c.astype(np.float32), np.full(c.shape, 50)) for c in cosines]


def test_where_all_fire_equally_p_is_the_share_that_turned_as_far_with_one_added() -> None:
    turned, refit = equal_firings(*random.uniform(-1, 1, (2, 1, 150)).round(2))

    found = excess_rotation(turned, refit)

    as_far = (refit.cosine <= turned.cosine.T).sum(1)
    np.testing.assert_allclose(found.p_value[0], (as_far + 1) / 151)
    np.testing.assert_allclose(found.null_cosine, np.median(refit.cosine), atol=0.011)
    np.testing.assert_array_equal(found.excess, found.null_cosine - turned.cosine)


def test_a_hundred_that_turned_to_nine_tenths_by_hand() -> None:
    turned, refit = equal_firings(np.full((1, 100), 0.9), np.full((1, 100), 0.9))
    turned.cosine[0, :3] = 0.5, 0.95, 1.0

    found = excess_rotation(turned, refit)

    np.testing.assert_allclose(found.excess[0, :4], [0.4, -0.05, -0.1, 0], atol=1e-6)
    np.testing.assert_allclose(found.p_value[0, :4], [1 / 101, 1, 1, 1])
    np.testing.assert_allclose(found.q_value[0, :2], [100 / 101, 1])


def test_the_null_follows_the_number_of_firings_to_both_ends() -> None:
    n = np.arange(1, 5001)[None]
    refit = Rotation(1 - 1e-3 * np.sqrt(1 + n) * np.exp(random.normal(0, 0.01, n.shape)), n)

    found = excess_rotation(refit, refit)

    np.testing.assert_allclose(1 - found.null_cosine, 1e-3 * np.sqrt(1 + n), rtol=0.02)


def test_features_that_never_fired_are_not_tested() -> None:
    world = World()
    silent = world.firings == 0

    found = excess_rotation(world.trained(), world.trained())

    assert silent.any()
    for values, expected in zip(found, (1, 0, 1, 1), strict=True):
        assert (values[silent] == expected).all()
    assert all(np.isfinite(values).all() for values in found)


def test_p_is_uniform_when_nothing_but_training_turned_the_features() -> None:
    world = World()
    turned = world.trained()

    p = excess_rotation(turned, world.trained()).p_value

    thirds = np.quantile(turned.n_firings[turned.n_firings > 0], (0, 1 / 3, 2 / 3, 1))
    for low, high in pairwise(thirds):
        here = p[(turned.n_firings >= max(low, 1)) & (turned.n_firings <= high)]
        for level in (0.5, 0.1, 0.01):
            noise = 5 * np.sqrt(2 * level / len(here))  # of the null's own draw too
            assert (here <= level).mean() == pytest.approx(level, abs=noise + 0.1 * level)


def test_worlds_without_a_turned_feature_have_none_found() -> None:
    n_found = [
        (excess_rotation(w.trained(), w.trained()).q_value <= 0.05).sum()
        for w in (World(3, 512, seed=n) for n in range(15))
    ]

    assert np.count_nonzero(n_found) <= 3


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_planted_turns_are_found_and_few_others(share: float) -> None:
    power, false = [], []
    for world in (World(4, 1024, seed=n) for n in range(12)):
        turns, degrees = world.planted(share)
        found = excess_rotation(world.trained(degrees), world.trained()).q_value <= 0.05
        power.append(found[turns].mean())
        false.append((found & ~turns).sum() / max(found.sum(), 1))

    assert np.mean(power) > 0.9
    assert np.mean(false) < 0.12  # the rate of 0.05 is one of many worlds


@pytest.mark.parametrize(("n_turned", "n_found"), [(59, 0), (61, 61)])
def test_each_refit_feature_that_turned_as_far_asks_for_twenty_more(
    n_turned: int, n_found: int
) -> None:
    turned, refit = equal_firings(*np.linspace(0.8, 0.99, 1000) * np.ones((2, 1, 1)))
    turned.cosine[0, :n_turned], refit.cosine[0, :2] = 0.1, 0.0

    found = excess_rotation(turned, refit)

    # p = (2 + 1) / (1000 + 1), and the k-th smallest of 1000 may be 0.05 k / 1000: 60 of them
    assert (found.q_value <= 0.05).sum() == n_found


def test_a_few_turned_features_among_many_layers_are_found() -> None:
    world = World(16, 1024)
    turns, degrees = world.planted(0.01)

    found = excess_rotation(world.trained(degrees), world.trained())

    # 200 neighbours alone could say no less than 1 / 201, and q would be above one half
    assert (found.q_value <= 0.05)[turns].mean() > 0.6
    assert turns.sum() / turns.size < 0.05 / 201 * 50


def test_the_same_input_gives_the_same_bits() -> None:
    world = World(2, 300)
    turned, refit = world.trained(), world.trained()

    for first, second in zip(
        excess_rotation(turned, refit), excess_rotation(turned, refit), strict=True
    ):
        np.testing.assert_array_equal(first, second)


def test_the_smallest_null_counts_every_one_of_its_features() -> None:
    turned, refit = equal_firings(np.full((1, 30), 0.0), random.uniform(0.8, 0.99, (1, 30)))
    refit.n_firings[0, module.FEWEST :] = 0
    refit.cosine[0, module.FEWEST :] = 1

    assert (excess_rotation(turned, refit).p_value == 1 / (module.FEWEST + 1)).all()


def test_a_control_that_turns_as_far_is_not_exceeded() -> None:
    world = World()
    turns, degrees = world.planted(0.2)
    refit = world.trained()

    alike = turned_further(world.trained(degrees), world.trained(degrees), refit)
    unlike = turned_further(world.trained(degrees), world.trained(), refit)

    fired = world.firings > 0
    assert alike[turns].mean() < 0.05
    assert alike[fired & ~turns].mean() < 0.08
    assert unlike[turns].mean() > 0.95


def test_what_fires_with_pictures_alone_turned_further_and_the_silent_did_not() -> None:
    turned, refit = equal_firings(*random.uniform(0.5, 0.9, (2, 1, 40)))
    control = Rotation(turned.cosine.copy(), turned.n_firings.copy())
    for rotation, feature in ((control, 0), (turned, 1), (turned, 2), (control, 2)):
        rotation.cosine[0, feature], rotation.n_firings[0, feature] = 1, 0

    further = turned_further(turned, control, refit)

    assert further[0, :4].tolist() == [True, False, False, False]


def test_more_confidence_asks_for_a_larger_difference() -> None:
    world = World(2, 512)
    trained = [world.trained() for _ in range(3)]

    n_further = [turned_further(*trained, confidence=c).sum() for c in (0.5, 0.9, 0.99)]

    assert n_further[0] > n_further[1] > n_further[2]
    with pytest.raises(ValueError, match=r"confidence must lie in \[0.5, 1\), got 95"):
        turned_further(*trained, confidence=95)


def changed(rotation: Rotation, **cell: float) -> Rotation:
    """The same with other values of feature 3 of layer 1."""
    values = {name: column.copy() for name, column in rotation._asdict().items()}
    for name, value in cell.items():
        values[name][1, 3] = value
    return Rotation(**values)


@pytest.mark.parametrize(
    ("cell", "complaint"),
    [
        ({"cosine": np.nan}, r"feature 3 of layer number 1 .* has cosine nan .* from -1 to 1"),
        ({"cosine": 1.5}, r"has cosine 1.5 .*\(1 features are like it\): a cosine is a number"),
        ({"n_firings": -1}, "-1 firings .* counted from 0"),
        ({"n_firings": 0}, "a feature that never fired cannot have turned"),
    ],
)
@pytest.mark.parametrize("is_null", [True, False])
def test_a_bad_value_names_its_feature(cell: dict, complaint: str, is_null: bool) -> None:
    good, other = equal_firings(*random.uniform(0.1, 0.9, (2, 2, 40)))
    bad = changed(good, **cell)

    with pytest.raises(ValueError, match=f"{'refit' if is_null else 'turned'}: .*{complaint}"):
        excess_rotation(*((other, bad) if is_null else (bad, other)))


def test_other_shapes_and_an_empty_null_are_refused() -> None:
    good, null = equal_firings(*random.uniform(0.1, 0.9, (2, 2, 40)))
    null.cosine[1], null.n_firings[1] = 1, 0

    with pytest.raises(ValueError, match="only 0 refit features of layer number 1"):
        excess_rotation(good, null)
    with pytest.raises(ValueError, match=r"'refit.cosine': \(1, 40\).*pass all as \[layer, d_sae"):
        excess_rotation(good, Rotation(good.cosine[:1], good.n_firings[:1]))
