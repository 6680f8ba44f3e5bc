"""GradDrop against its formula: on a net for paper, and with a layer's write held by hand."""

import pytest
import torch
from plain_inputs import both
from random_llama import LAYER, random_llama, runs, unit_rows
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from feature_atlas.heads.grad_drop import droppable_writes, dropped_scores
from feature_atlas.heads.head_attribution import (
    SwapScores,
    attribute_heads,
    first_order,
    run_clean_and_corrupt,
)
from feature_atlas.vlm.residual_stream import decoder_layers, freeze


def scored(model: LlamaForCausalLM, twice, positions: Tensor, layer: int, rows: Tensor):
    with droppable_writes(model) as drop:
        run = run_clean_and_corrupt(model, twice, [layer])
        return dropped_scores(run, drop, positions, layer, rows)


def cancelling_net() -> LlamaForCausalLM:
    """Three layers of width 2: a head writes 0, its mean; one MLP writes -1 of it, one +1/2."""
    config = LlamaConfig(
        vocab_size=4, hidden_size=2, intermediate_size=2, num_hidden_layers=3, num_attention_heads=1
    )
    model = LlamaForCausalLM(config).double()
    for number, block in enumerate(decoder_layers(model)):
        block.input_layernorm = block.post_attention_layernorm = nn.Identity()
        block.mlp = nn.Linear(2, 2, bias=False, dtype=torch.float64)
        nn.init.zeros_(block.self_attn.q_proj.weight)
        nn.init.zeros_(block.self_attn.o_proj.weight)
        with torch.no_grad():
            block.mlp.weight.copy_([0.0, -1.0, 0.5][number] * torch.eye(2))
            block.self_attn.v_proj.weight.copy_(torch.eye(2))
    with torch.no_grad():
        decoder_layers(model)[0].self_attn.o_proj.weight.copy_(torch.eye(2))
    return freeze(model)


def test_two_ways_that_cancel_are_seen_apart() -> None:
    """z of layer 0 is 3 or 1, and goes through (1 - 1) and (1 + 1/2): its gradient is 0.

    Dropped: layer 0 leaves 0, layer 1 leaves 1 + 1/2, layer 2 leaves 1 - 1. So the size is
    2 (0 + 3/2 + 0) / 2 = 3/2, and the sign that of 0.
    """
    model = cancelling_net()
    clean = torch.tensor([[[6.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    corrupt = torch.tensor([[[2.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    last, direction = torch.tensor([[False, True]]), torch.tensor([[1.0, 0.0]])
    twice = both(clean, corrupt, torch.ones(1, 2).long())

    assert attribute_heads(model, twice, last, 2, direction).z[0, 0, 0, 0].item() == 0
    assert scored(model, twice, last, 2, direction).z[0, 0, 0, 0].item() == 0

    decoder_layers(model)[1].mlp.weight.mul_(0.5)  # now (1 - 1/2)(1 + 1/2) = 3/4 goes through
    found = scored(model, twice, last, 2, direction)

    # dropped: 0, 3/2 and 1/2, mean 1, of a difference of 2
    assert found.z[:, 0, 0, 0, 0].tolist() == pytest.approx([-2.0, 2.0])
    assert attribute_heads(model, twice, last, 2, direction).z[1, 0, 0, 0].item() == 1.5


def held_write(model: LlamaForCausalLM, layer: int, twice, positions, rows) -> SwapScores:
    """First order of a model whose layer adds a constant: what it wrote, without a gradient."""

    def hook(_module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return given[0] + (output - given[0]).detach()

    handle = decoder_layers(model)[layer].register_forward_hook(hook)
    try:
        return first_order(attribute_heads(model, twice, positions, LAYER, rows))
    finally:
        handle.remove()


def test_it_is_the_mean_size_over_layers_whose_write_is_held() -> None:
    model = random_llama()
    clean, corrupt, mask, positions = runs()
    twice, rows = both(clean, corrupt, mask), unit_rows(2)
    plain = first_order(attribute_heads(model, twice, positions, LAYER, rows))
    held = [held_write(model, layer, twice, positions, rows) for layer in range(LAYER + 1)]

    found = scored(model, twice, positions, LAYER, rows)

    for part in SwapScores._fields:
        sizes = sum(getattr(one, part).abs() for one in held) / LAYER
        torch.testing.assert_close(getattr(found, part).abs(), sizes)
        assert torch.equal(getattr(found, part).sign(), getattr(plain, part).sign())
    assert (held[1].z[..., 1, :]).abs().max() < 1e-12  # a head's own layer leaves it nothing


def test_with_one_layer_nothing_can_cancel() -> None:
    model = random_llama()
    clean, corrupt, mask, positions = runs()
    twice, rows = both(clean, corrupt, mask), unit_rows(1)

    found = scored(model, twice, positions, 0, rows)

    plain = first_order(attribute_heads(model, twice, positions, 0, rows))
    torch.testing.assert_close(found.z, plain.z)
