"""Energies by hand, and against dense codes built only here."""

import math

import pytest
import torch

from feature_atlas.sae import SparseCodes
from feature_atlas.visual_energy import EnergySums, firing_rate, mean_energy, modality_preference
from feature_atlas.vlm import Role

D_SAE, K = 11, 4
TEXT = (Role.QUESTION, Role.SUFFIX)


def random_codes(n_tokens: int) -> SparseCodes:
    indices = torch.rand(n_tokens, D_SAE).topk(K).indices
    return SparseCodes(torch.randn(n_tokens, K).relu(), indices)


def dense(codes: SparseCodes) -> torch.Tensor:
    return torch.zeros(len(codes.values), D_SAE).scatter(1, codes.indices, codes.values)


def test_energy_by_hand() -> None:
    sums = EnergySums.empty(3)
    codes = SparseCodes(torch.tensor([[3.0, 1.0], [4.0, 0.0], [2.0, 2.0]]),
                        torch.tensor([[0, 1], [0, 2], [0, 2]]))  # fmt: skip

    sums.add(codes, torch.tensor([Role.QUESTION, Role.QUESTION, Role.IMAGE]))

    # question tokens: feature 0 has (9 + 16) / 2, feature 1 has 1 / 2, feature 2 was silent
    assert mean_energy(sums, (Role.QUESTION,)).tolist() == [12.5, 0.5, 0.0]
    assert firing_rate(sums, (Role.QUESTION,)).tolist() == [1.0, 0.5, 0.0]
    assert mean_energy(sums, (Role.IMAGE,)).tolist() == [4.0, 0.0, 4.0]


def test_energies_equal_those_of_dense_codes_whatever_the_batches() -> None:
    codes, roles = random_codes(200), torch.randint(-1, 7, (200,))
    whole, pieces = EnergySums.empty(D_SAE), EnergySums.empty(D_SAE)

    whole.add(codes, roles)
    for rows in torch.arange(200).split(17):
        pieces.add(SparseCodes(codes.values[rows], codes.indices[rows]), roles[rows])

    is_text = torch.isin(roles, torch.tensor(TEXT))
    activations = dense(codes)[is_text].double()
    torch.testing.assert_close(mean_energy(whole, TEXT), activations.square().mean(0))
    torch.testing.assert_close(firing_rate(whole, TEXT), (activations > 0).double().mean(0))
    assert all(torch.equal(a, b) for a, b in zip(whole, pieces, strict=True))


def test_padding_belongs_to_no_role() -> None:
    sums = EnergySums.empty(D_SAE)

    sums.add(random_codes(9), torch.full((9,), Role.PAD))

    assert all((total == 0).all() for total in sums)


def test_small_energies_are_not_lost_beside_a_large_sum() -> None:
    sums = EnergySums.empty(1)
    sums.sum_squares.fill_(1e6)

    sums.add(SparseCodes(torch.full((1000, 1), 1e-3), torch.zeros(1000, 1, dtype=torch.int64)),
             torch.full((1000,), Role.QUESTION))  # fmt: skip

    assert float(sums.sum_squares[Role.QUESTION] - 1e6) == pytest.approx(1e-3, rel=1e-3)


def test_modality_preference_by_hand() -> None:
    image, none = torch.tensor([1.0, 0.0, 7.0, 0.0]), torch.tensor([1.0, 0.0, 3.0, 1.0])

    # indifferent; silent in both; doubled; silenced by the image
    torch.testing.assert_close(
        modality_preference(image, none, delta=1.0),
        torch.tensor([0.0, 0.0, math.log(2), -math.log(2)]),
    )


def test_what_cannot_be_counted_is_refused() -> None:
    sums, codes = EnergySums.empty(D_SAE), random_codes(3)
    with pytest.raises(ValueError, match=r"codes of 3 tokens, roles \[2\]"):
        sums.add(codes, torch.tensor([3, 3]))
    with pytest.raises(ValueError, match="NaN or inf"):
        sums.add(codes._replace(values=codes.values / 0), torch.tensor([3, 3, 3]))
    sums.add(codes, torch.tensor([3, 3, 3]))
    with pytest.raises(ValueError, match="no token of role IMAGE was seen, only of QUESTION"):
        mean_energy(sums, (Role.IMAGE,))
    with pytest.raises(ValueError, match=r"\[2\], without \[3\]"):
        modality_preference(torch.ones(2), torch.ones(3))
    with pytest.raises(ValueError, match="delta must be above 0, got 0"):
        modality_preference(torch.ones(2), torch.ones(2), delta=0)
