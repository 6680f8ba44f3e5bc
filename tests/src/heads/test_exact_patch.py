"""Real patching against real runs."""

import pytest
import torch
from plain_inputs import both, plain
from random_llama import LAYER, N_HEADS, random_llama, runs, unit_rows
from transformers import LlamaForCausalLM

from feature_atlas.heads.exact_patch import exact_patch, exact_patch_each, exact_patch_heads
from feature_atlas.vlm.residual_stream import residuals


@pytest.fixture
def model() -> LlamaForCausalLM:
    return random_llama()


def test_patching_everything_is_the_corrupt_run(model: LlamaForCausalLM) -> None:
    clean, _, mask, positions = runs()
    donor = runs(size=0.5)[1]
    donor[:, 4:], donor[:, 0] = clean[:, 4:], clean[:, 0]  # only image tokens differ
    heads = [(layer, head) for layer in range(LAYER + 1) for head in range(N_HEADS)]

    effect = exact_patch(
        model,
        plain(clean, mask),
        plain(donor, mask),
        positions,
        LAYER,
        unit_rows(2),
        heads=heads,
        parts=["z"],
    )

    change = (
        residuals(model, plain(donor, mask), [LAYER])[LAYER]
        - residuals(model, plain(clean, mask), [LAYER])[LAYER]
    )
    expected = torch.einsum("fd,btd,bt->fb", unit_rows(2), change, positions.double())
    torch.testing.assert_close(effect, expected)


def test_some_heads_at_once_are_each_one_alone(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()
    where = (positions, LAYER, unit_rows(2))

    some = exact_patch_heads(
        model,
        plain(clean, mask),
        plain(corrupt, mask),
        *where,
        heads=[(2, 3), (0, 1)],
        parts=["q", "k"],
    )

    every = exact_patch_each(
        model, plain(clean, mask), plain(corrupt, mask), *where, parts=["q", "k"]
    )
    one = exact_patch(
        model,
        plain(clean, mask),
        plain(corrupt, mask),
        *where,
        heads=[(2, 3)],
        parts=["q", "k"],
    )
    assert some.abs().min() > 1e-9
    torch.testing.assert_close(some, torch.stack([every[..., 2, 3], every[..., 0, 1]], dim=-1))
    torch.testing.assert_close(some[..., 0], one)


def test_both_ways_in_one_batch_are_each_one_alone(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()
    heads, parts = [(1, 2)], ["q", "k"]

    together = exact_patch_heads(
        model,
        both(clean, corrupt, mask),
        both(corrupt, clean, mask),
        torch.cat([positions, positions]),
        LAYER,
        unit_rows(2),
        heads=heads,
        parts=parts,
    )

    where = (positions, LAYER, unit_rows(2))
    a = exact_patch_heads(
        model,
        plain(clean, mask),
        plain(corrupt, mask),
        *where,
        heads=heads,
        parts=parts,
    )
    b = exact_patch_heads(
        model,
        plain(corrupt, mask),
        plain(clean, mask),
        *where,
        heads=heads,
        parts=parts,
    )
    torch.testing.assert_close(together, torch.cat([a, b], dim=1))
