"""Tokens by role and norm: medians, sinks and what they carry."""

import math

import numpy as np
import pytest
import torch

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.features.role_energy import NormSums, median_norm, role_energy
from feature_atlas.vlm.token_roles import Role

D_MODEL, K = 6, 3


def random_tokens(n: int) -> tuple[torch.Tensor, SparseCodes, torch.Tensor]:
    """Residuals of very different lengths."""
    residual = torch.randn(n, D_MODEL) * torch.exp(2 * torch.randn(n, 1))
    codes = SparseCodes(torch.randn(n, K).relu(), torch.randint(0, 50, (n, K)))
    return residual, codes, torch.randint(-1, 6, (n,))


def test_sinks_by_hand() -> None:
    # norms 1, 1, 3, 48: the median token has norm 1, so 48 is a sink above 10 medians
    residual = torch.diag(torch.tensor([1.0, 1.0, 3.0, 48.0]))
    codes = SparseCodes(torch.tensor([[1.0], [2.0], [2.0], [4.0]]), torch.zeros(4, 1).long())
    sums = NormSums.empty()

    sums.add(residual, codes, torch.tensor([Role.QUESTION, Role.IMAGE, Role.IMAGE, Role.IMAGE]))

    median = median_norm(sums)
    assert median == pytest.approx(1, rel=1 / 16)
    found = role_energy(sums, 10 * median)
    assert found.n_tokens.tolist()[Role.IMAGE] == 3
    assert found.n_sinks.tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
    # image tokens have energies 4, 4 and 16: the sink carries two thirds
    assert found.energy[Role.IMAGE] == 8
    assert found.energy_without_sinks[Role.IMAGE] == 4
    assert found.sink_share[Role.IMAGE] == pytest.approx(2 / 3)
    assert found.energy[Role.QUESTION] == found.energy_without_sinks[Role.QUESTION] == 1
    assert math.isnan(found.energy[Role.SUFFIX])
    assert found.sink_share[Role.SUFFIX] == 0


def test_counts_and_energies_equal_those_of_numpy_but_for_the_bins() -> None:
    residual, codes, roles = random_tokens(3000)
    sums = NormSums.empty()
    sums.add(residual, codes, roles)

    norm = np.linalg.norm(residual.double().numpy(), axis=1)
    energy = codes.values.double().square().sum(1).numpy()
    of_prompt = roles.numpy() > Role.BOS
    assert median_norm(sums) == pytest.approx(np.median(norm[of_prompt]), rel=0.07)
    found = role_energy(sums, 2.5)
    for role in range(6):
        mine = roles.numpy() == role
        # 2.5 lies at an end of its bin (2.5 to 2.625): the limit is 2.625
        is_sink = mine & (norm >= 2.625)
        assert found.n_tokens[role] == mine.sum()
        assert found.n_sinks[role] == is_sink.sum()
        assert found.energy[role] == pytest.approx(energy[mine].mean())
        assert found.energy_without_sinks[role] == pytest.approx(energy[mine & ~is_sink].mean())
        assert found.sink_share[role] == pytest.approx(energy[is_sink].sum() / energy[mine].sum())


def test_batches_do_not_matter() -> None:
    residual, codes, roles = random_tokens(500)
    whole, pieces = NormSums.empty(), NormSums.empty()

    whole.add(residual, codes, roles)
    for rows in torch.randperm(500).split(37):
        part = SparseCodes(codes.values[rows], codes.indices[rows])
        pieces.add(residual[rows], part, roles[rows])

    assert torch.equal(whole.tokens, pieces.tokens)
    torch.testing.assert_close(whole.energy, pieces.energy, rtol=1e-12, atol=0)
    assert whole.tokens.sum() == (roles >= 0).sum()


def test_half_precision_is_measured_in_single() -> None:
    residual = torch.full((1, 4096), 600.0, dtype=torch.float16)  # its square is above 65504
    sums = NormSums.empty()

    sums.add(residual, SparseCodes(torch.ones(1, 1), torch.zeros(1, 1).long()), torch.tensor([3]))

    assert median_norm(sums) == pytest.approx(600 * 64, rel=1 / 16)


def test_what_does_not_belong_together_is_refused() -> None:
    residual, codes, roles = random_tokens(5)
    with pytest.raises(ValueError, match="4 residuals, codes of 5 tokens, 5 roles"):
        NormSums.empty().add(residual[:4], codes, roles)
    with pytest.raises(ValueError, match="no tokens were counted by norm"):
        median_norm(NormSums.empty())
