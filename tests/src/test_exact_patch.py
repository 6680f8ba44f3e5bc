"""Real patching against real runs."""

import pytest
import torch
from random_llama import LAYER, N_HEADS, random_llama, runs, unit_rows
from transformers import LlamaForCausalLM

from feature_atlas.exact_patch import exact_patch
from feature_atlas.vlm import residuals


@pytest.fixture
def model() -> LlamaForCausalLM:
    return random_llama()


def test_patching_everything_is_the_corrupt_run(model: LlamaForCausalLM) -> None:
    clean, _, mask, positions = runs()
    donor = runs(size=0.5)[1]
    donor[:, 4:], donor[:, 0] = clean[:, 4:], clean[:, 0]  # only image tokens differ
    heads = [(layer, head) for layer in range(LAYER + 1) for head in range(N_HEADS)]

    effect = exact_patch(
        model, clean, donor, mask, positions, LAYER, unit_rows(2), heads=heads, parts=["z"]
    )

    change = (
        residuals(model, donor, mask, [LAYER])[LAYER]
        - residuals(model, clean, mask, [LAYER])[LAYER]
    )
    expected = torch.einsum("fd,btd,bt->fb", unit_rows(2), change, positions.double())
    torch.testing.assert_close(effect, expected)
