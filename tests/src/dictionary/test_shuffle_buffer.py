from itertools import islice

import pytest
import torch
from sae_lens.training.mixing_buffer import mixing_buffer

from feature_atlas.dictionary.shuffle_buffer import mixed_batches, n_tokens_for

SIZES = [(256, 32), (250, 64), (64, 64), (101, 7)]


def lengths(n: int, seed: int) -> list[int]:
    """Of a few forward passes."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(20, 90, (n,), generator=random).tolist()


def numbered(of_passes: list[int]) -> list[torch.Tensor]:
    return list(torch.arange(sum(of_passes)).split(of_passes))


@pytest.mark.parametrize(("capacity", "batch_size"), SIZES)
def test_batches_are_those_of_sae_lens_mixing_buffer(capacity: int, batch_size: int):
    of_passes = lengths(30, seed=torch.seed() % 1000)
    rows = torch.randn(sum(of_passes), 4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        theirs = list(mixing_buffer(capacity, batch_size, iter(rows.split(of_passes))))

    ours = list(mixed_batches(numbered(of_passes), capacity, batch_size, seed=5))

    assert len(ours) > 5
    for mine, expected in zip(ours, theirs, strict=False):  # theirs also serves the last, unmixed
        assert torch.equal(rows[mine], expected)


def test_the_order_is_known_before_a_token_is_there_and_can_be_begun_anywhere():
    passes = numbered(lengths(24, seed=2))

    whole = list(mixed_batches(passes, 128, 16, seed=3))
    later = list(islice(mixed_batches(passes, 128, 16, seed=3), 11, None))

    assert len(later) == len(whole) - 11 > 0
    assert all(map(torch.equal, later, whole[11:]))


@pytest.mark.parametrize(("capacity", "batch_size"), SIZES)
@pytest.mark.parametrize("n_served", [1, 300, 1000])
def test_so_many_tokens_are_enough_however_they_come(capacity, batch_size, n_served):
    n_tokens = n_tokens_for(n_served, capacity, batch_size)

    for size in (1, 17, 90, n_tokens):
        passes = torch.arange(n_tokens).split(size)
        served = list(mixed_batches(passes, capacity, batch_size, seed=0))
        assert sum(map(len, served)) >= n_served


def test_a_buffer_smaller_than_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"buffer of 8 tokens for batches of 9.*buffer_size"):
        next(mixed_batches([torch.arange(3)], 8, 9, seed=0))
