"""Poisson(1) weights out of a hash: moments, independence, and no dependence on batches."""

import math
import random

import numpy as np
import pytest
import torch
from scipy import stats

from feature_atlas.statistics.bootstrap_weights import poisson_weights

MASK = 2**64 - 1


def mixed(x: int) -> int:
    """splitmix64's finaliser in whole numbers of any size."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def weight_by_hand(image: int, replicate: int, seed: int) -> int:
    """The quantile of Poisson(1) at a uniform number from the hash."""
    x = mixed(seed & MASK)
    for counter in (image, replicate):
        x = mixed((x + 0x9E3779B97F4A7C15 * (counter + 1)) & MASK)
    return int(stats.poisson(1).ppf(((x >> 32) + 0.5) / 2**32))


def test_weights_are_those_of_the_hash_in_plain_python() -> None:
    images = torch.randint(0, 2**40, (20,))
    seed = random.randrange(-(2**62), 2**62)

    weights = poisson_weights(images, 7, seed)

    expected = [[weight_by_hand(int(i), b, seed) for b in range(7)] for i in images]
    assert weights.dtype == torch.int8
    assert weights.tolist() == expected


def test_the_finaliser_is_that_of_splitmix64() -> None:
    # the generator started at 0: its first output, as published with the algorithm
    assert mixed(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF


def test_weights_are_distributed_as_poisson_with_mean_1() -> None:
    seed = random.randrange(2**32)
    weights = poisson_weights(torch.arange(2000), 500, seed).double()

    n = weights.numel()
    # 5 standard errors: mean 1 +- 1/sqrt(n), variance 1 with variance 3/n
    assert abs(weights.mean() - 1) < 5 / math.sqrt(n)
    assert abs(weights.var() - 1) < 5 * math.sqrt(3 / n)
    observed = np.bincount(weights.long().flatten().numpy(), minlength=8)[:8]
    expected = stats.poisson(1).pmf(np.arange(8)) * n
    assert stats.chisquare(observed[:6], expected[:6] * observed[:6].sum() / expected[:6].sum())[
        1
    ] > 1e-6  # fmt: skip


def test_images_replicates_and_seeds_are_independent() -> None:
    seed = random.randrange(2**32)
    weights = poisson_weights(torch.arange(400), 400, seed).double() - 1
    other = poisson_weights(torch.arange(400), 400, seed + 1).double() - 1

    limit = 8 / math.sqrt(400)  # of 80 thousand pairs none is 8 standard errors off by chance
    for rows in (weights, weights.T):
        correlation = torch.corrcoef(rows).fill_diagonal_(0)
        assert correlation.abs().max() < limit
    assert abs((weights * other).mean()) < 5 / 400


def test_weights_do_not_depend_on_the_company() -> None:
    images, seed = torch.randint(0, 10_000, (300,)), random.randrange(2**32)
    whole = poisson_weights(images, 50, seed)

    pieces = torch.cat([poisson_weights(part, 50, seed) for part in images.split(17)])
    shuffled = torch.randperm(300)

    assert torch.equal(whole, pieces)
    assert torch.equal(whole[shuffled], poisson_weights(images[shuffled], 50, seed))
    assert torch.equal(whole[:, :9], poisson_weights(images.int(), 9, seed))


def test_what_is_no_list_of_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"images are torch.float32 of shape \[3\]"):
        poisson_weights(torch.ones(3), 2, 0)
    with pytest.raises(ValueError, match="n_replicates is 0, expected 1 or more"):
        poisson_weights(torch.arange(3), 0, 0)
