"""Energies by hand, and against dense codes built only here."""

import math

import numpy as np
import pytest
import torch

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Encoder, Sae
from feature_atlas.dictionary.sae_lens_form import to_training_sae
from feature_atlas.features.visual_energy import (
    EnergyReplicates,
    EnergySums,
    firing_rate,
    mean_energy,
    mean_when_firing,
    modality_preference,
    preference_interval,
)
from feature_atlas.statistics.bootstrap_weights import poisson_weights
from feature_atlas.vlm.token_roles import Role

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
    # where they fire: feature 0 has (3 + 4) / 2; feature 2 never fires on a question
    assert mean_when_firing(sums, (Role.QUESTION,))[:2].tolist() == [3.5, 1.0]
    assert mean_when_firing(sums, (Role.QUESTION,))[2].isnan()
    assert sums.largest[Role.QUESTION].tolist() == [4.0, 1.0, 0.0]


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
    torch.testing.assert_close(sums_of(whole, TEXT), activations.sum(0))
    torch.testing.assert_close(whole.largest[list(TEXT)].amax(0).double(), activations.amax(0))
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


def sums_of(sums: EnergySums, roles: tuple[Role, ...]) -> torch.Tensor:
    return sums.total[list(roles)].sum(0)


def random_sae(d_model: int, d_sae: int, k: int) -> Sae:
    """Decoder rows of all lengths, biases that matter."""
    return Sae(
        w_enc=torch.randn(d_model, d_sae) / d_model**0.5,
        b_enc=torch.randn(d_sae) * 0.1,
        w_dec=torch.randn(d_sae, d_model) * torch.rand(d_sae, 1),
        b_dec=torch.randn(d_model),
        gate=TopK(k),
        scale=3.0,
    )


@pytest.mark.parametrize("batch", [1, 50, 700])
def test_sums_are_those_of_saelens_dense_codes(batch: int) -> None:
    sae, residual = random_sae(24, 96, 7), torch.randn(700, 24)
    roles = torch.randint(-1, 6, (700,))
    encoder, sums = Encoder.of(sae), EnergySums.empty(96)

    for rows in torch.randperm(700).split(batch):
        sums.add(encoder.encode(residual[rows]), roles[rows])

    with torch.no_grad():
        theirs = to_training_sae(sae).encode(sae.scale * residual).to_dense().double()
    for role in range(6):
        mine = theirs[roles == role]
        assert torch.equal(sums.fired[role], (mine > 0).sum(0))
        torch.testing.assert_close(sums.total[role], mine.sum(0), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            sums.sum_squares[role], mine.square().sum(0), rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(sums.largest[role].double(), mine.amax(0), rtol=1e-5, atol=1e-5)


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


def condition(n_tokens: int, n_images: int) -> tuple[SparseCodes, torch.Tensor]:
    """Codes, and the image of each token; some tokens belong to none."""
    return random_codes(n_tokens), torch.randint(-1, n_images, (n_tokens,))


def plain_bootstrap(
    codes: SparseCodes, image: torch.Tensor, n_images: int, weights: np.ndarray
) -> np.ndarray:
    """Energy in each replicate, [replicate, d_sae]: every image as often as it was drawn."""
    activations, of = dense(codes).double().numpy(), image.numpy()
    energies = []
    for drawn in weights.T:
        total, n_tokens = np.zeros(D_SAE), 0
        for number in range(n_images):
            mine = activations[of == number]
            total += drawn[number] * (mine**2).sum(0)
            n_tokens += drawn[number] * len(mine)
        energies.append(total / n_tokens)
    return np.array(energies)


@pytest.mark.parametrize("batch", [1, 33, 400])
def test_the_interval_is_that_of_a_plain_bootstrap(batch: int) -> None:
    n_images, n_replicates, seed = 12, 60, int(torch.randint(2**40, ()))
    held, expected = [], []
    weights = poisson_weights(torch.arange(n_images), n_replicates, seed).long().numpy()
    for codes, image in (condition(400, n_images), condition(250, n_images)):
        replicates = EnergyReplicates.empty(n_replicates, D_SAE)
        for rows in torch.randperm(len(image)).split(batch):
            part = SparseCodes(codes.values[rows], codes.indices[rows])
            replicates.add(part, image[rows], seed)
        held.append(replicates)
        expected.append(plain_bootstrap(codes, image, n_images, weights))

    found = preference_interval(*held, delta=0.01)

    ratios = np.log((expected[0] + 0.01) / (expected[1] + 0.01))
    np.testing.assert_allclose(found.low, np.percentile(ratios, 2.5, axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        found.high, np.percentile(ratios, 97.5, axis=0), rtol=1e-4, atol=1e-5
    )


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    n_worlds, n_images, n_replicates = 300, 60, 200
    tokens_each, covered = 8, 0
    # features are worlds: activations vary by image (clusters) and by token, alike under both
    held = []
    of_image = torch.randn(2, n_images, 1, n_worlds)
    activations = (of_image + torch.randn(2, n_images, tokens_each, n_worlds)).exp()
    image = torch.arange(n_images).repeat_interleave(tokens_each)
    for values in activations.flatten(1, 2).sqrt():
        replicates = EnergyReplicates.empty(n_replicates, n_worlds)
        every = torch.arange(n_worlds).expand(len(image), -1)
        replicates.add(SparseCodes(values, every), image, seed=5)
        held.append(replicates)

    found = preference_interval(*held, delta=1e-9)

    covered = ((found.low <= 0) & (found.high >= 0)).double().mean()
    assert 0.86 < covered < 0.99  # 95 % in large samples; sixty skewed images give a little less


def test_conditions_are_compared_on_the_same_draws() -> None:
    codes, image = condition(300, 9)
    twice = []
    for factor in (1.0, 2.0):
        replicates = EnergyReplicates.empty(40, D_SAE)
        replicates.add(codes._replace(values=factor * codes.values), image, seed=3)
        twice.append(replicates)

    found = preference_interval(twice[1], twice[0], delta=1e-12)

    # four times the energy in every replicate: no spread is left
    torch.testing.assert_close(found.low, torch.full((D_SAE,), math.log(4), dtype=torch.float64))
    torch.testing.assert_close(found.high, found.low)
    with pytest.raises(ValueError, match=r"codes of 300 tokens, images \[9\]"):
        twice[0].add(codes, image[:9], seed=3)
