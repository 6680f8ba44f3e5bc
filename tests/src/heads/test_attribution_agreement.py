"""Agreement of estimates with exact effects, beside scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from feature_atlas.heads.attribution_agreement import Pairs, agreement, agreement_within_layers


def random_pairs(seed: int = 0) -> Pairs:
    """Three features of layer 0 and two of layer 1, twelve heads each; values repeat."""
    random = np.random.default_rng(seed)
    layer, feature = np.repeat([0, 0, 0, 1, 1], 12), np.repeat([3, 5, 9, 5, 7], 12)
    exact = random.normal(size=60).round(1) * np.where(layer == 1, 100, 1)
    estimate = (exact + random.normal(size=60) * np.where(layer == 1, 100, 1)).round(1)
    return Pairs(layer, feature, estimate, exact)


def test_correlations_are_scipys() -> None:
    pairs = random_pairs()

    found = agreement(pairs)

    assert found.pearson == pytest.approx(stats.pearsonr(pairs.estimate, pairs.exact).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(pairs.estimate, pairs.exact).statistic)


def test_within_layers_no_layer_weighs_more_than_another() -> None:
    pairs = random_pairs()

    found = agreement_within_layers(pairs)

    each = [
        stats.pearsonr(pairs.estimate[pairs.layer == at], pairs.exact[pairs.layer == at]).statistic
        for at in (0, 1)
    ]
    assert found.pearson == pytest.approx(np.mean(each))
    assert found.pearson != pytest.approx(agreement(pairs).pearson)


def test_overlap_and_signs_are_counted_by_hand() -> None:
    pairs = Pairs(
        np.zeros(8, int),
        np.repeat([1, 2], 4),
        np.array([4.0, 3.0, -1.0, -2.0, 1.0, 2.0, 3.0, 4.0]),
        np.array([4.0, -1.0, 3.0, -2.0, 1.0, 2.0, 3.0, 4.0]),
    )

    found = agreement(pairs, n_top=2)

    assert found.top_overlap == (0.5 + 1) / 2  # feature 1: heads 0, 1 against 0, 2
    assert found.top_overlap_by_chance == 0.5
    assert found.sign_agreement == 6 / 8


def test_features_of_one_number_in_two_layers_are_two() -> None:
    pairs = Pairs(
        np.array([0, 0, 1, 1]),
        np.array([5, 5, 5, 5]),
        np.array([2.0, 1.0, 2.0, 1.0]),
        np.array([2.0, 1.0, 1.0, 2.0]),
    )

    assert agreement(pairs, n_top=1).top_overlap == 0.5


def test_a_constant_side_has_no_correlation() -> None:
    pairs = Pairs(np.zeros(3, int), np.zeros(3, int), np.zeros(3), np.array([1.0, 2.0, 3.0]))

    assert agreement(pairs).pearson is None
    assert agreement_within_layers(pairs).spearman is None
