from collections.abc import Iterator

import pytest
import torch

from feature_atlas.etl.inputs import threads
from feature_atlas.etl.inputs.threads import SMALL, share_cores


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "CORES", 2)
    yield
    torch.set_num_threads(before)


def test_a_small_models_products_have_one_thread_and_run_side_by_side():
    assert share_cores(SMALL - 1, "cpu") == 2
    assert torch.get_num_threads() == 1


def test_a_large_models_products_take_all_threads_one_after_another():
    share_cores(8, "cpu")

    assert share_cores(SMALL, "cpu") == 1
    assert torch.get_num_threads() == 2


def test_a_gpu_computes_one_thing_at_a_time():
    assert share_cores(8, "cuda") == 1
