"""What comes back in other seeds, with numbers done by hand."""

import numpy as np
import pytest
from scipy.stats import binom

from feature_atlas.features.seed_stability import cosine_spread, reproduction


def test_the_spread_is_that_of_one_seed():
    spread = cosine_spread([np.array([[0.1, 1.0]]), np.array([[0.2, 1.0]]), np.array([[0.6, 1.0]])])

    np.testing.assert_allclose(spread.mean, [[0.3, 1]], rtol=1e-6)
    # squared distances 0.04, 0.01, 0.09 over n - 1
    np.testing.assert_allclose(spread.deviation, [[0.07**0.5, 0]], rtol=1e-6)
    np.testing.assert_allclose([spread.low, spread.high], [[[0.1, 1]], [[0.6, 1]]], rtol=1e-6)


def test_a_set_is_found_again_in_as_many_seeds_as_it_is():
    members = [np.array([[c == "1" for c in row]]) for row in ("11110000", "11100000", "11011000")]

    found = reproduction(members)

    # the first set's four features are in 3, 3, 2 and 2 seeds
    assert found.n_features.tolist() == [4, 4, 2]
    assert found.share.tolist() == [1, 1, 0.5]
    # others draw 3 and 4 of 8: at least one 1 - 5/8 * 4/8, both 3/8 * 4/8
    np.testing.assert_allclose(found.share_by_chance, [1, 11 / 16, 3 / 16])


def test_the_share_by_chance_is_binomial_where_sets_are_alike_and_what_blind_draws_give():
    random = np.random.default_rng(3)
    members = [random.permuted(np.arange(4000) < 1000)[None] for _ in range(4)]

    found = reproduction(members)

    np.testing.assert_allclose(found.share_by_chance, binom.sf([-1, 0, 1, 2], 3, 0.25))
    np.testing.assert_allclose(found.share, found.share_by_chance, atol=0.05)


def test_a_narrower_set_is_counted_by_the_wider_one_of_other_seeds():
    members = [np.array([[True, True, True, False]]), np.array([[True, False, True, True]])]

    found = reproduction(members, also=np.array([[True, True, False, True]]))

    assert found.n_features.tolist() == [2, 1]
    np.testing.assert_allclose(found.share_by_chance, [1, 0.75])


def test_an_empty_set_has_no_share_and_one_seed_no_reproduction():
    nothing = np.zeros((2, 3), dtype=bool)

    assert np.isnan(reproduction([nothing, ~nothing]).share).all()
    with pytest.raises(ValueError, match=r"1 seed\(s\): expected at least two \(adapt\.seeds\)"):
        reproduction([nothing])
