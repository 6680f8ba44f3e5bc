"""The reservoir against drawing at the end, and the spread over activations by hand."""

from collections import defaultdict

import numpy as np
import pytest
import torch

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.features.example import TopExamples
from feature_atlas.features.example_spread import SpreadExamples, draws, spread
from feature_atlas.statistics.counter_hash import counter_hash

D_SAE, K = 8, 4


def random_codes(n_tokens: int) -> SparseCodes:
    """With many equal activations."""
    indices = torch.rand(n_tokens, D_SAE).topk(K).indices
    return SparseCodes((torch.randn(n_tokens, K) * 3).round().relu(), indices)


def stream(n_tokens: int) -> tuple[SparseCodes, torch.Tensor, torch.Tensor]:
    """Codes with sample and image numbers, some tokens to pass over, in any order."""
    sample = torch.randint(-1, n_tokens // 3, (n_tokens,))
    image_of = torch.randint(0, n_tokens // 6 + 1, (n_tokens,))
    return random_codes(n_tokens), sample, image_of[sample.clamp_min(0)]


def brute_force(
    codes: SparseCodes, sample: torch.Tensor, image: torch.Tensor, feature: int, m: int
) -> set[tuple[int, int, float]]:
    """The m images of smallest hash; of each the sample of smallest XOR; its largest activation."""
    strongest: dict[tuple[int, int], float] = defaultdict(float)
    for row, (s, i) in enumerate(zip(sample.tolist(), image.tolist(), strict=True)):
        for value, index in zip(codes.values[row], codes.indices[row], strict=True):
            if index == feature and value > 0 and s >= 0:
                strongest[i, s] = max(strongest[i, s], float(value))
    preferred: dict[int, tuple[int, int]] = {}
    for i, s in strongest:
        drawn = int(counter_hash(0, torch.tensor(feature), torch.tensor(i))) % 2**64
        key = (drawn >> 33) * 2**32 + ((s ^ drawn) % 2**32)
        preferred[i] = min(preferred.get(i, (2**63, 0)), (key, s))
    kept = sorted((key, i, s) for i, (key, s) in preferred.items())[:m]
    return {(i, s, strongest[i, s]) for _, i, s in kept}


def slots(kept: SpreadExamples, feature: int) -> set[tuple[int, int, float]]:
    columns = (kept.images[feature], kept.samples[feature], kept.activations[feature])
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {row for row in rows if row[1] >= 0}


@pytest.mark.parametrize("batch", [1, 7, 100, 1000])
@pytest.mark.parametrize("m", [1, 6, 60])
def test_the_reservoir_is_that_of_a_draw_at_the_end(batch: int, m: int) -> None:
    codes, sample, image = stream(300)
    kept = SpreadExamples.empty(D_SAE, m)

    for rows in torch.randperm(300).split(batch):
        part = SparseCodes(codes.values[rows], codes.indices[rows])
        kept.add(part, sample[rows], image[rows])

    for feature in range(D_SAE):
        assert slots(kept, feature) == brute_force(codes, sample, image, feature, m)


def test_every_image_is_as_likely() -> None:
    n_features, n_images, m = 3000, 40, 10
    kept = SpreadExamples.empty(n_features, m)
    indices = torch.arange(n_features).expand(n_images, -1)
    codes = SparseCodes(torch.ones(n_images, n_features), indices)

    kept.add(codes, torch.arange(n_images), torch.arange(n_images))

    # each of 3000 features draws 10 of 40: mean 750 per image, standard deviation 24
    times = kept.images.flatten().bincount()
    assert (times - 750).abs().max() < 6 * np.sqrt(3000 * 0.25 * 0.75)


def test_the_spread_by_hand() -> None:
    reservoir, top = SpreadExamples.empty(2, 10), TopExamples.empty(2, 2)
    sample = torch.arange(10)
    codes = SparseCodes(torch.arange(1.0, 11)[:, None], torch.zeros(10, 1).long())
    for kept in (reservoir, top):
        kept.add(codes, sample, sample + 100)

    found = spread(reservoir, top, n_parts=5, n_random=0)

    # activations 1..10 in fifths: (1, 2) .. (9, 10), and the last are the two strongest samples
    assert found.feature.tolist() == [0] * 4
    pairs = [{8, 7}, {6, 5}, {4, 3}, {2, 1}]
    assert all(a in pair for a, pair in zip(found.activation.tolist(), pairs, strict=True))
    assert found.sample.tolist() == [a - 1 for a in found.activation]
    assert found.quantile.tolist() == [a - 1 for a in found.activation]  # ten samples, ten tenths


def test_chosen_samples_lie_where_their_quantile_says() -> None:
    n_images = 2000
    activation = torch.rand(n_images).exp()
    reservoir, top = SpreadExamples.empty(40, 60), TopExamples.empty(40, 8)
    codes = SparseCodes(activation[:, None].expand(-1, 40), torch.arange(40).expand(n_images, -1))
    for kept in (reservoir, top):
        kept.add(codes, torch.arange(n_images), torch.arange(n_images))

    found = spread(reservoir, top, n_parts=5, n_random=0)

    assert len(found.feature) > 5 * 40 - 10
    assert not set(found.sample.tolist()) & set(top.samples.flatten().tolist())
    share_below = (activation[:, None] < found.activation).double().mean(0)
    # a reservoir of 60 knows a quantile to 1 / sqrt(4 * 60) = 6.5 % or better
    assert ((found.quantile + 0.5) / 10 - share_below).abs().max() < 0.05 + 5 * 0.065
    assert ((found.quantile + 0.5) / 10 - share_below).abs().mean() < 0.1
    by_feature = found.activation.view(-1) - 10 * found.feature
    assert (by_feature[1:] <= by_feature[:-1]).all()  # strongest first within each feature


def test_random_samples_are_the_first_of_the_reservoir_whether_strong_or_weak() -> None:
    n_features, n_images, n_random = 2000, 30, 4
    reservoir, top = SpreadExamples.empty(n_features, 12), TopExamples.empty(n_features, 6)
    activation = torch.arange(1.0, n_images + 1)[:, None].expand(-1, n_features)
    codes = SparseCodes(activation, torch.arange(n_features).expand(n_images, -1))
    for kept in (reservoir, top):
        kept.add(codes, torch.arange(n_images), torch.arange(n_images))

    others, of_top = spread(reservoir, top, 5, n_random), draws(reservoir, top, n_random)

    times = torch.zeros(n_images)
    for feature in range(n_features):
        mine = others.feature == feature
        among_top = dict(zip(of_top[feature].tolist(), top.samples[feature].tolist(), strict=True))
        drawn = dict(zip(others.draw[mine].tolist(), others.sample[mine].tolist(), strict=True))
        both = {**among_top, **drawn}
        assert [both[place] for place in range(n_random)] == reservoir.samples[
            feature, :n_random
        ].tolist()
        assert not set(others.sample[mine].tolist()) & set(top.samples[feature].tolist())
        times[reservoir.samples[feature, :n_random]] += 1
    # each of 2000 features draws 4 of 30: mean 267 per image, standard deviation 15; top ones too
    assert (times - 2000 * 4 / 30).abs().max() < 6 * 15.2


def test_a_feature_with_few_samples_has_them_all_among_the_strongest() -> None:
    reservoir, top = SpreadExamples.empty(D_SAE, 5), TopExamples.empty(D_SAE, 50)
    codes, sample, image = stream(60)
    for kept in (reservoir, top):
        kept.add(codes, sample, image)

    assert len(spread(reservoir, top, 5, 0).feature) == 0
    with pytest.raises(ValueError, match="n_parts is 0, expected 1 or more"):
        spread(reservoir, top, 0, 0)


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="pass one sample and one image number"):
        SpreadExamples.empty(D_SAE, 2).add(
            random_codes(3), torch.arange(2), torch.zeros(3, dtype=torch.int64)
        )
