"""Who keeps firing when the question is neutral: by hand and against dense codes."""

import pytest
import torch

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.features.neutral_prompt import (
    NeutralCounts,
    fired_anywhere,
    max_activation,
    shuffled_samples,
    survives,
)

D_SAE, K = 12, 4


def random_codes(n_tokens: int) -> SparseCodes:
    indices = torch.rand(n_tokens, D_SAE).topk(K).indices
    return SparseCodes(torch.randn(n_tokens, K).relu(), indices)


def test_strongest_activation_by_hand() -> None:
    codes = SparseCodes(torch.tensor([[3.0, 1.0], [5.0, 0.0], [2.0, 9.0]]),
                        torch.tensor([[7, 1], [7, 2], [1, 7]]))  # fmt: skip
    question = torch.tensor([0, 0, -1])

    # the last token is not counted; feature 2 is silent; question 1 has no tokens
    strongest = max_activation(codes, question, 2, torch.tensor([7, 2, 1]))

    assert strongest.tolist() == [[5.0, 0.0, 1.0], [0.0, 0.0, 0.0]]


def test_strongest_activations_equal_those_of_dense_codes() -> None:
    codes, question = random_codes(100), torch.randint(-1, 8, (100,))
    features = torch.tensor([11, 3, 0, 3])  # any order, repeats allowed
    dense = torch.zeros(100, D_SAE).scatter(1, codes.indices, codes.values)

    strongest = max_activation(codes, question, 8, features)

    expected = torch.stack([dense[question == q][:, features].amax(0) for q in range(8)])
    assert torch.equal(strongest, expected)
    assert torch.equal(fired_anywhere(codes, question, 8, features), expected > 0)


def test_no_features_give_no_columns() -> None:
    none = torch.tensor([], dtype=torch.int64)

    assert fired_anywhere(random_codes(5), torch.arange(5), 5, none).shape == (5, 0)


def test_only_a_features_own_samples_count() -> None:
    counts = NeutralCounts.empty(3)
    real = torch.tensor([[2.0, 1.0, 0.0], [4.0, 0.0, 0.0]])
    mean = torch.tensor([[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]])

    is_top = torch.tensor([[True, True, False], [True, False, False]])
    counts.add(real, mean, real.flip(1), is_top)

    assert counts.n_samples.tolist() == [2, 1, 0]
    assert counts.n_fired.tolist() == [2, 1, 0]
    assert counts.n_fired_mean_image.tolist() == [1, 1, 0]
    assert counts.n_fired_shuffled_image.tolist() == [0, 1, 0]
    assert counts.mean_activation().tolist() == [3.0, 1.0, 0.0]
    assert counts.only([1, 0]).n_samples.tolist() == [1, 2]


def test_counts_do_not_depend_on_the_batches() -> None:
    real, mean, shuffled = torch.randn(3, 30, 5).relu()
    is_top = torch.rand(30, 5) < 0.4
    whole, pieces = NeutralCounts.empty(5), NeutralCounts.empty(5)

    whole.add(real, mean, shuffled, is_top)
    for rows in torch.arange(30).split(4):
        pieces.add(real[rows], mean[rows], shuffled[rows], is_top[rows])

    torch.testing.assert_close(whole, pieces)
    torch.testing.assert_close(
        whole.mean_activation(),
        torch.stack([real[is_top[:, f], f].double().mean() for f in range(5)]),
    )


def test_survivors_fire_often_and_because_of_the_picture() -> None:
    # grounded; lexical; fires on any text; too seldom; just enough; by luck once more; no samples
    n_fired = torch.tensor([9, 0, 10, 4, 6, 9, 0])
    n_samples = torch.tensor([10, 10, 10, 10, 10, 10, 0])
    n_fired_mean_image = torch.tensor([2, 0, 10, 0, 3, 8, 0])

    survivors = survives(n_fired, n_samples, n_fired_mean_image)

    assert survivors.tolist() == [True, False, False, False, True, False, False]
    assert survives(n_fired, n_samples, n_fired_mean_image, min_share=0.9).sum() == 1
    assert survives(n_fired, n_samples, n_fired_mean_image, max_mean_share=0.9).sum() == 3


def test_counts_that_do_not_belong_together_are_refused() -> None:
    ten = torch.tensor([10])
    with pytest.raises(ValueError, match="more runs than it had"):
        survives(ten, ten - 1, ten)
    four, three = torch.ones(4, 3), torch.ones(3, 3)
    with pytest.raises(ValueError, match=r"real image \[4, 3\], mean image \[3, 3\]"):
        NeutralCounts.empty(3).add(four, three, four, four > 0)


def test_a_shuffled_picture_is_anothers_and_always_the_same() -> None:
    images = torch.randint(0, 6, (200,))

    others = shuffled_samples(images, seed=2)

    assert (images[others] != images).all()
    assert torch.equal(others, shuffled_samples(images, seed=2))
    assert (others != shuffled_samples(images, seed=3)).any()
    assert len(others.unique()) > 80  # a hash, not one picture for all
    with pytest.raises(ValueError, match="3 samples share one picture"):
        shuffled_samples(torch.zeros(3, dtype=torch.int64), seed=0)
