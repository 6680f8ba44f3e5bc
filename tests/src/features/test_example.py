"""The top samples of a stream against sorting everything at the end."""

import pytest
import torch

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.features.example import TopExamples, token_activations

D_SAE, K = 10, 4


def random_codes(n_tokens: int) -> SparseCodes:
    """With many equal activations, so that ties must be broken."""
    indices = torch.rand(n_tokens, D_SAE).topk(K).indices
    return SparseCodes((torch.randn(n_tokens, K) * 3).round().relu(), indices)


def dense(codes: SparseCodes) -> torch.Tensor:
    return torch.zeros(len(codes.values), D_SAE).scatter(1, codes.indices, codes.values)


def brute_force(
    codes: SparseCodes, sample: torch.Tensor, image: torch.Tensor, feature: int, m: int
) -> list[tuple[float, int, int]]:
    """Every sample ranked, then the first of each image."""
    activation = dense(codes)[:, feature]
    strongest: dict[tuple[int, int], float] = {}
    for a, s, i in zip(activation.tolist(), sample.tolist(), image.tolist(), strict=True):
        if a > 0 and s >= 0:
            strongest[s, i] = max(a, strongest.get((s, i), 0))
    ranked = sorted((-a, s, i) for (s, i), a in strongest.items())
    first_of_image: dict[int, tuple[float, int, int]] = {}
    for negative, s, i in ranked:
        first_of_image.setdefault(i, (-negative, s, i))
    return list(first_of_image.values())[:m]


def slots(top: TopExamples, feature: int) -> list[tuple[float, int, int]]:
    columns = (top.activations[feature], top.samples[feature], top.images[feature])
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [row for row in rows if row[1] >= 0]


def test_two_best_by_hand() -> None:
    top = TopExamples.empty(d_sae=2, m=2)
    codes = SparseCodes(torch.tensor([[1.0], [4.0], [3.0], [2.0], [2.0]]),
                        torch.tensor([[0], [0], [0], [0], [0]]))  # fmt: skip
    sample = torch.tensor([50, 50, 51, 53, 52])
    image = torch.tensor([7, 7, 7, 8, 9])

    top.add(codes, sample, image)

    # sample 51 shows the image of 50; 52 and 53 tie, the smaller number wins
    assert top.samples.tolist() == [[50, 52], [-1, -1]]
    assert top.activations.tolist() == [[4.0, 2.0], [0.0, 0.0]]
    assert top.images.tolist() == [[7, 9], [-1, -1]]


@pytest.mark.parametrize("batch", [1, 13, 64, 1000])
@pytest.mark.parametrize("m", [1, 5, 40])
def test_the_stream_gives_what_sorting_everything_gives(batch: int, m: int) -> None:
    codes = random_codes(400)
    sample = torch.arange(400) // 4
    sample = sample.where(torch.rand(400) < 0.9, -1)  # some tokens are not text
    image = (torch.arange(400) // 4 * 7) % 31
    shuffled = torch.randperm(400)  # even tokens of one sample may come apart
    top = TopExamples.empty(D_SAE, m)

    for rows in shuffled.split(batch):
        top.add(SparseCodes(codes.values[rows], codes.indices[rows]), sample[rows], image[rows])

    for feature in range(D_SAE):
        assert slots(top, feature) == brute_force(codes, sample, image, feature, m)


def test_activations_are_kept_to_the_bit() -> None:
    values = torch.rand(50, 1) * 10.0 ** torch.randint(-30, 30, (50, 1))
    top = TopExamples.empty(d_sae=1, m=50)

    top.add(
        SparseCodes(values, torch.zeros(50, 1, dtype=torch.int64)),
        torch.arange(50),
        torch.arange(50),
    )

    assert torch.equal(top.activations[0], values[:, 0].sort(descending=True).values)


def test_a_batch_in_which_nothing_fires_changes_nothing() -> None:
    top = TopExamples.empty(D_SAE, 3)
    silent = SparseCodes(torch.zeros(2, K), torch.arange(K).expand(2, K))

    top.add(silent, torch.tensor([0, 1]), torch.tensor([0, 1]))

    assert (top.samples == -1).all()


def test_memory_is_bounded_by_the_slots() -> None:
    top = TopExamples.empty(D_SAE, 3)
    for start in range(0, 300, 100):
        sample = torch.arange(start, start + 100)
        top.add(random_codes(100), sample, sample)

    assert top.keys.shape == top.images.shape == (D_SAE, 3)


def test_activations_of_the_second_pass_are_those_of_dense_codes() -> None:
    codes = random_codes(20)
    rows, features = torch.tensor([3, 4, 9]), torch.tensor([5, 0])

    fetched = token_activations(codes, rows, features)

    assert torch.equal(fetched, dense(codes)[rows][:, features])


def test_what_cannot_be_ranked_is_refused() -> None:
    top, codes, numbers = TopExamples.empty(D_SAE, 3), random_codes(4), torch.arange(4)
    with pytest.raises(ValueError, match=r"codes of 4 tokens, samples \[3\], images \[4\]"):
        top.add(codes, numbers[:3], numbers)
    with pytest.raises(ValueError, match="NaN or inf"):
        top.add(codes._replace(values=codes.values / 0), numbers, numbers)
    with pytest.raises(ValueError, match="number them 0, 1, 2"):
        top.add(codes, numbers, numbers - 1)
    with pytest.raises(ValueError, match="fit in 32 bits"):
        top.add(codes, numbers + 2**32, numbers)
