"""What two passes gathered, merged, is what one pass over both gathers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.features.example import TopExamples
from feature_atlas.features.example_spread import SpreadExamples
from feature_atlas.features.firing_counts import ReplicateCounts, SplitCounts, question_firings
from feature_atlas.features.role_energy import NormSums
from feature_atlas.features.visual_energy import EnergyReplicates, EnergySums
from feature_atlas.statistics.bootstrap_weights import poisson_weights

D_SAE, K, N = 12, 3, 240
SAMPLE = torch.arange(N) // 4
IMAGE = SAMPLE * 7 % 31
ROLES = torch.arange(N) % 5
CODES = SparseCodes(
    torch.rand(N, K, generator=torch.Generator().manual_seed(1)),
    torch.rand(N, D_SAE, generator=torch.Generator().manual_seed(2)).argsort(1)[:, :K],
)
RESIDUAL = torch.rand(N, 6, generator=torch.Generator().manual_seed(3))


def at(rows: slice) -> SparseCodes:
    return SparseCodes(CODES.values[rows], CODES.indices[rows])


def energy(rows: slice) -> EnergySums:
    sums = EnergySums.empty(D_SAE)
    sums.add(at(rows), ROLES[rows])
    return sums


def replicates(rows: slice) -> EnergyReplicates:
    sums = EnergyReplicates.empty(9, D_SAE)
    sums.add(at(rows), IMAGE[rows], 0)
    return sums


def norms(rows: slice) -> NormSums:
    sums = NormSums.empty()
    sums.add(RESIDUAL[rows], at(rows), ROLES[rows])
    return sums


def top(rows: slice) -> TopExamples:
    examples = TopExamples.empty(D_SAE, 5)
    examples.add(at(rows), SAMPLE[rows], IMAGE[rows])
    return examples


def reservoir(rows: slice) -> SpreadExamples:
    examples = SpreadExamples.empty(D_SAE, 6)
    examples.add(at(rows), SAMPLE[rows], IMAGE[rows])
    return examples


def counts(rows: slice) -> SplitCounts:
    sums, fired = SplitCounts.empty(D_SAE, 2), question_firings(at(rows), SAMPLE[rows])
    sums.add(fired, torch.stack([fired.rows % 2 == 0, fired.rows >= 0], 1))
    return sums


def drawn(rows: slice) -> ReplicateCounts:
    sums, fired = ReplicateCounts.empty(D_SAE, 7), question_firings(at(rows), SAMPLE[rows])
    sums.add(fired, poisson_weights(fired.rows, 7, 0))
    return sums


@pytest.mark.parametrize("gather", [energy, replicates, norms, top, reservoir, counts, drawn])
@pytest.mark.parametrize("cut", [0, 4, 100, 236])  # between questions
def test_two_parts_make_the_whole(gather: Callable[[slice], Any], cut: int) -> None:
    merged = gather(slice(0, cut))

    merged.merge(gather(slice(cut, N)))

    for mine, whole in zip(merged, gather(slice(0, N)), strict=True):
        assert mine.dtype == whole.dtype
        if mine.dtype == torch.float64 or gather is replicates:
            torch.testing.assert_close(mine, whole)
        else:
            assert torch.equal(mine, whole)
