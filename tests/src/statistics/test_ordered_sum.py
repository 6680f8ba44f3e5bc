"""Sums into cells, against sums by hand and in exact arithmetic, as a CPU and as a GPU adds."""

from fractions import Fraction

import pytest
import torch
from pretended_device import DEVICE, pretended_device

from feature_atlas.statistics.ordered_sum import add_in_order, count

ON = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def test_every_value_comes_to_its_cell():
    sums = torch.tensor([1.0, 0.0, 0.0])

    add_in_order(sums, torch.tensor([2, 0, 2]), torch.tensor([3.0, 5.0, 4.0]))

    assert sums.tolist() == [6.0, 0.0, 7.0]


@pytest.mark.parametrize("device", ON)
def test_sums_are_as_exact_as_float64_is_and_the_same_each_time(device):
    torch.manual_seed(0)
    values, cells = torch.randn(3000, dtype=torch.float64), torch.randint(5, (3000,))
    exact = [sum(map(Fraction, values[cells == c].tolist())) for c in range(5)]

    found = []
    for _ in range(5):
        sums = torch.zeros(5, dtype=torch.float64, device=device)
        add_in_order(sums, cells.to(device), values.to(device))
        found.append(sums.cpu())

    assert all(abs(Fraction(s) - e) < 1e-11 for s, e in zip(found[0].tolist(), exact, strict=True))
    assert all(torch.equal(again, found[0]) for again in found)


def test_counts_begin_where_they_stood():
    counts = torch.tensor([1, 0, 5])

    count(counts, torch.tensor([2, 0, 2]))

    assert counts.tolist() == [2, 0, 7]


def test_another_device_is_given_an_order_and_the_same_counts():
    with pretended_device() as mistakes:
        sums, counts = torch.zeros(3, device=DEVICE), torch.tensor([1, 0, 5], device=DEVICE)
        add_in_order(sums, torch.tensor([1, 1], device=DEVICE), torch.ones(2, device=DEVICE))
        count(counts, torch.tensor([0, 0], device=DEVICE))

    assert sums.tolist() == [0.0, 2.0, 0.0]
    assert counts.tolist() == [3, 0, 5]
    assert mistakes == []
