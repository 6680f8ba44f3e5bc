"""What is set where a device is chosen, so that it computes the same bytes each time."""

import os
from collections.abc import Iterator

import pytest
import torch

from feature_atlas.etl.inputs.device import compute_repeatably

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a new process, and again afterwards."""
    monkeypatch.setenv(CUBLAS, "")  # noted, so that it is put back
    monkeypatch.delenv(CUBLAS)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    yield
    torch.use_deterministic_algorithms(before)


def test_a_card_is_held_to_one_order():
    compute_repeatably("cuda:1")

    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ[CUBLAS] == ":4096:8"


def test_an_environment_that_says_otherwise_is_heard(monkeypatch):
    monkeypatch.setenv(CUBLAS, ":16:8")

    compute_repeatably("cuda")

    assert os.environ[CUBLAS] == ":16:8"


def test_a_cpu_needs_nothing_set():
    compute_repeatably("cpu")

    assert not torch.are_deterministic_algorithms_enabled()
    assert CUBLAS not in os.environ


def test_what_torch_cannot_compute_in_one_order_is_refused_by_its_name():
    compute_repeatably("cuda")

    with pytest.raises(RuntimeError, match="put_ does not have a deterministic implementation"):
        torch.zeros(3).put_(torch.tensor([1]), torch.ones(1))
