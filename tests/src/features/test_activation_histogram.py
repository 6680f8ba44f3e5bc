"""Counts by strength against numpy's histogram in float64, and against batches of any size."""

import numpy as np
import pytest
import torch

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.features.activation_histogram import (
    COUNTED,
    N_BINS,
    ActivationCounts,
    bin_of,
)
from feature_atlas.vlm.token_roles import Role

D_SAE, WIDTH = 12, 5
EDGES = np.array([(1.5 if b % 2 else 1.0) * 2.0 ** (b // 2 - 6) for b in range(N_BINS + 1)])


def stream(n: int) -> tuple[SparseCodes, torch.Tensor]:
    """Strengths over many octaves, a fifth of the places silent, every role and padding."""
    values = torch.exp2(torch.rand(n, WIDTH, dtype=torch.float64) * 24 - 10).float()
    values[torch.rand(n, WIDTH) < 0.2] = 0
    indices = torch.rand(n, D_SAE).argsort(1)[:, :WIDTH]
    return SparseCodes(values, indices), torch.randint(-1, max(Role) + 1, (n,))


def counted(codes: SparseCodes, roles: torch.Tensor) -> ActivationCounts:
    counts = ActivationCounts.empty(D_SAE)
    counts.add(codes, roles)
    return counts


def test_counts_are_those_of_numpys_histogram() -> None:
    codes, roles = stream(3000)

    found = counted(codes, roles).tokens.numpy()

    inside = EDGES.copy()
    inside[0], inside[-1] = 0, np.inf  # the first and last bin are open
    for kind, role in enumerate(COUNTED):
        values, indices = codes.values[roles == role], codes.indices[roles == role]
        for feature in range(D_SAE):
            own = values[(indices == feature) & (values > 0)].double().numpy()
            assert found[kind, feature].tolist() == np.histogram(own, inside)[0].tolist()
    assert (found[:, :, [0, 10, -1]].sum((0, 1)) > 0).all()


def test_an_edge_belongs_to_the_bin_above_it() -> None:
    edges = torch.from_numpy(EDGES[:-1]).float()

    assert bin_of(edges).tolist() == list(range(N_BINS))
    below = torch.nextafter(edges, torch.zeros(()))
    assert bin_of(below).tolist() == [0, *range(N_BINS - 1)]


def test_neither_batches_nor_their_order_nor_merging_change_a_count() -> None:
    codes, roles = stream(500)
    parts = [counted(SparseCodes(codes.values[rows], codes.indices[rows]), roles[rows])
             for rows in torch.randperm(500).split(37)]  # fmt: skip

    for other in parts[1:]:
        parts[0].merge(other)

    assert torch.equal(parts[0].tokens, counted(codes, roles).tokens)


def test_other_numbers_of_tokens_are_refused() -> None:
    codes, roles = stream(5)
    with pytest.raises(ValueError, match="codes of 5 tokens, roles of \\[4\\]"):
        counted(codes, roles[:4])
