import pytest
import torch
from sae_lens.training.mixing_buffer import mixing_buffer

from feature_atlas.dictionary.shuffle_buffer import ShuffleBuffer


def passes(n: int, seed: int) -> list[dict[int, torch.Tensor]]:
    """Two layers of a few forward passes of different lengths; layer 1 is minus layer 0."""
    random = torch.Generator().manual_seed(seed)
    parts = []
    for _ in range(n):
        length = int(torch.randint(20, 90, (1,), generator=random))
        rows = torch.randn(length, 4, generator=random)
        parts.append({0: rows, 1: -rows})
    return parts


@pytest.mark.parametrize(("capacity", "batch_size"), [(256, 32), (250, 64), (64, 64), (101, 7)])
def test_batches_are_those_of_sae_lens_mixing_buffer(capacity: int, batch_size: int):
    parts = passes(30, seed=torch.seed() % 1000)
    buffer = ShuffleBuffer(capacity, batch_size, seed=5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        stream = (part[0] for part in parts)
        theirs = list(mixing_buffer(capacity, batch_size, stream))

    ours = [batch[0] for part in parts for batch in buffer.add(part)]

    assert len(ours) > 5
    for mine, expected in zip(ours, theirs, strict=False):  # theirs also serves the last, unmixed
        assert torch.equal(mine, expected)


def test_layers_stay_aligned():
    buffer = ShuffleBuffer(100, 10, seed=0)

    batches = [batch for part in passes(10, seed=1) for batch in buffer.add(part)]

    assert batches
    assert all(torch.equal(batch[0], -batch[1]) for batch in batches)


def test_a_restored_buffer_serves_the_same_batches():
    parts = passes(24, seed=2)
    whole, begun, resumed = (ShuffleBuffer(128, 16, seed=seed) for seed in (3, 3, 99))
    expected = [[batch[0] for batch in whole.add(part)] for part in parts]
    for part in parts[:11]:
        begun.add(part)

    resumed.restore(begun.state(), "cpu")

    for part, batches in zip(parts[11:], expected[11:], strict=True):
        found = [batch[0] for batch in resumed.add(part)]
        assert len(found) == len(batches)
        assert all(map(torch.equal, found, batches))


def test_a_state_taken_before_the_first_token_restores():
    empty = ShuffleBuffer(16, 4, seed=0)

    empty.restore(ShuffleBuffer(16, 4, seed=7).state(), "cpu")

    assert empty.add({0: torch.randn(15, 2)}) == []
    assert len(empty.add({0: torch.randn(1, 2)})) == 2


def test_a_buffer_smaller_than_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"buffer of 8 tokens for batches of 9.*buffer_size"):
        ShuffleBuffer(8, 9, seed=0)
