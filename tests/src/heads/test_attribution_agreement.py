"""Agreement of estimates with exact effects, beside scipy and by hand."""

import numpy as np
import pytest
from scipy import stats

from feature_atlas.heads.attribution_agreement import (
    Agreement,
    Pairs,
    SampledPairs,
    agreement,
    agreement_ends,
    agreement_within_features,
    agreement_within_layers,
    drawn_agreement,
)
from feature_atlas.heads.ranking_stability import ranking_stability, wording_stability


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


def sampled(noise: float, n_samples: int = 6, seed: int = 0) -> SampledPairs:
    """Twelve heads; samples scatter about the same effects."""
    random = np.random.default_rng(seed)
    exact = random.normal(size=12) + 0.3 * random.normal(size=(n_samples, 12))
    return SampledPairs(exact + noise * random.normal(size=exact.shape), exact)


def test_within_features_it_is_the_mean_of_each_ones_correlation() -> None:
    pairs = random_pairs()

    found = agreement_within_features(pairs)

    each = [
        stats.spearmanr(pairs.estimate[12 * i : 12 * i + 12], pairs.exact[12 * i : 12 * i + 12])
        for i in range(5)
    ]
    assert found.spearman == pytest.approx(np.mean([one.statistic for one in each]))


def agreed(spearman: float | None = None, top_overlap: float = 0.5) -> Agreement:
    return Agreement(None, spearman, 1.0, top_overlap, 0.1)


def test_an_interval_reaches_to_what_it_is_about() -> None:
    drawn = np.stack([np.linspace(0.5, 0.8, 41), np.linspace(0.2, 0.6, 41)])

    inside = agreement_ends(agreed(0.7, 0.4), drawn)
    beyond = agreement_ends(agreed(0.95, 0.1), drawn)

    assert inside == pytest.approx((0.5075, 0.7925, 0.21, 0.59))
    assert beyond == pytest.approx((0.5075, 0.95, 0.1, 0.59))


def test_ends_are_quantiles_of_scipys_correlations_on_the_same_draws() -> None:
    features = [sampled(0.5, seed=1), sampled(1.0, seed=2)]

    found_by_feature = drawn_agreement(features, n_top=3, n_draws=40, seed=7)
    found = agreement_ends(agreed(), found_by_feature.mean(0))

    random, drawn = np.random.default_rng(7), []
    for one in features:
        rows = random.integers(6, size=(40, 6))
        means = [(one.estimate[draw].mean(0), one.exact[draw].mean(0)) for draw in rows]
        drawn.append([stats.spearmanr(*pair).statistic for pair in means])
    low, high = np.quantile(np.mean(drawn, axis=0), (0.025, 0.975))
    assert (found.spearman_low, found.spearman_high) == pytest.approx((low, high))
    assert found.top_overlap_low <= found.top_overlap_high
    assert found.spearman_high - found.spearman_low > 0.05
    of_second = agreement_ends(agreed(), found_by_feature[1])
    assert of_second[:2] == pytest.approx(np.quantile(drawn[1], (0.025, 0.975)))


def test_a_ranking_is_stable_where_samples_agree_and_not_where_they_are_noise() -> None:
    alike = np.tile(np.arange(12.0), (6, 1))
    noise = np.random.default_rng(0).normal(size=(6, 200))

    assert ranking_stability(alike, n_top=3, n_pairs=20, seed=0) == (1.0, 1.0)
    found = ranking_stability(noise, n_top=10, n_pairs=200, seed=0)

    # two means of the same six, each drawn anew, have half their variance in common
    assert found.spearman == pytest.approx(0.5, abs=0.1)
    assert found.jaccard < 0.5
    with pytest.raises(ValueError, match="1 sample, expected 2 or more"):
        ranking_stability(noise[:1], n_top=3, n_pairs=20, seed=0)


def test_wordings_are_compared_in_all_pairs() -> None:
    random = np.random.default_rng(1).normal(size=(3, 20))

    found = wording_stability(random, n_top=4)

    pairs = [(random[0], random[1]), (random[0], random[2]), (random[1], random[2])]
    assert found.spearman == pytest.approx(np.mean([stats.spearmanr(*p).statistic for p in pairs]))
    firsts = [[set(np.argsort(-x)[:4]) for x in pair] for pair in pairs]
    assert found.jaccard == pytest.approx(np.mean([len(a & b) / len(a | b) for a, b in firsts]))
    with pytest.raises(ValueError, match="1 wording, expected 2 or more"):
        wording_stability(random[:1], n_top=4)
