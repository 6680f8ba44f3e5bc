"""RelP: its conservation rule in every family, and a net small enough for paper."""

import math

import pytest
import torch
from families import N_LAYERS, TRIED, family, prompts
from plain_inputs import both, plain
from random_llama import LAYER, random_llama, runs, unit_rows
from torch import nn
from torch.utils import _pytree as pytree
from transformers import LlamaConfig, LlamaForCausalLM

from feature_atlas.heads.head_attribution import attribute_heads
from feature_atlas.heads.relevance import relevance_rules
from feature_atlas.vlm.decoder_inputs import decoder_inputs
from feature_atlas.vlm.residual_stream import decoder_layers, freeze, residuals


@pytest.mark.parametrize("name", TRIED)
def test_relevance_is_conserved_from_the_residual_down_to_the_embeddings(name: str) -> None:
    """What goes in times its coefficient adds up to what comes out; biases would keep a part."""
    made = family(name)
    for part, weight in made.model.named_parameters():
        if part.endswith("bias"):
            weight.zero_()
    inputs = decoder_inputs(made.model, prompts(made))
    further = pytree.tree_map(lambda x: x, dict(inputs.further))
    sources = [x for x in pytree.tree_leaves([inputs.embeds, further]) if is_source(x)]
    for source in sources:
        source.requires_grad_()
    direction = torch.randn(inputs.embeds.shape[-1], generator=torch.Generator().manual_seed(3))

    with relevance_rules(made.model):
        found = residuals(made.model, inputs, [N_LAYERS - 1])[N_LAYERS - 1]
    j = (found @ direction)[inputs.token_mask.bool()].sum()
    coefficients = torch.autograd.grad(j, sources, materialize_grads=True)

    went_in = sum((x * c).sum() for x, c in zip(sources, coefficients, strict=True))
    own = residuals(made.model, inputs, [N_LAYERS - 1])[N_LAYERS - 1]
    gradients = torch.autograd.grad((own @ direction)[inputs.token_mask.bool()].sum(), sources)
    by_gradients = sum((x * g).sum() for x, g in zip(sources, gradients, strict=True))
    torch.testing.assert_close(found, own, rtol=1e-4, atol=1e-4)  # nothing is computed otherwise
    assert float(went_in.detach()) == pytest.approx(float(j.detach()), rel=1e-3)
    assert float(by_gradients.detach()) != pytest.approx(float(j.detach()), rel=0.05)


def is_source(x: object) -> bool:
    return isinstance(x, torch.Tensor) and x.is_floating_point() and x.ndim < 4


def small_net() -> LlamaForCausalLM:
    """One layer of width 2; token 1 looks at both alike, and one gated number is written."""
    config = LlamaConfig(
        vocab_size=4, hidden_size=2, intermediate_size=1, num_hidden_layers=1, num_attention_heads=1
    )
    model = freeze(LlamaForCausalLM(config).double())
    block = decoder_layers(model)[0]
    block.input_layernorm = nn.Identity()
    block.post_attention_layernorm = nn.RMSNorm(2, eps=0.0, dtype=torch.float64)
    for projection in (block.self_attn.q_proj, block.self_attn.k_proj):
        nn.init.zeros_(projection.weight)
    for projection in (block.self_attn.v_proj, block.self_attn.o_proj):
        projection.weight.copy_(torch.eye(2))
    block.mlp.gate_proj.weight.copy_(torch.tensor([[1.0, 0.0]]))
    block.mlp.up_proj.weight.copy_(torch.tensor([[0.0, 1.0]]))
    block.mlp.down_proj.weight.copy_(torch.tensor([[1.0], [0.0]]))
    return freeze(model)


def test_a_net_of_width_two_scores_as_on_paper() -> None:
    """h = (3, 4), n = h / rms(h), J = h0 + silu(n0) n1, and h . c = J.

    c0 = 1 + s(n0) n1 / 2 rms from the gate's half, c1 = s(n0) n0 / 2 rms from the other.
    """
    clean = torch.tensor([[[6.0, 8.0], [0.0, 0.0]]], dtype=torch.float64)
    corrupt = torch.tensor([[[2.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    last, direction = torch.tensor([[False, True]]), torch.tensor([[1.0, 0.0]])
    model = small_net()

    with relevance_rules(model):
        scores = attribute_heads(
            model, both(clean, corrupt, torch.ones(1, 2).long()), last, 0, direction
        )

    rms = math.sqrt((9 + 16) / 2)
    n0, n1 = 3 / rms, 4 / rms
    s = 1 / (1 + math.exp(-n0))
    c0, c1 = 1 + s * n1 / (2 * rms), s * n0 / (2 * rms)
    assert 3 * c0 + 4 * c1 == pytest.approx(3 + s * n0 * n1)
    a = (1 - 3) * c0 + (0 - 4) * c1  # z is (3, 4) in the clean run and (1, 0) in the corrupt
    rms_b = math.sqrt(1 / 2)
    s_b = 1 / (1 + math.exp(-1 / rms_b))
    b = (3 - 1) * 1.0 + (4 - 0) * s_b * (1 / rms_b) / (2 * rms_b)
    assert scores.z.flatten().tolist() == pytest.approx([a, b])
    assert scores.v.flatten().tolist() == pytest.approx([a, b])
    assert scores.q.flatten().tolist() == scores.k.flatten().tolist() == [0.0, 0.0]


def test_where_all_is_linear_relevance_is_the_gradient() -> None:
    model = random_llama()
    for block in decoder_layers(model):
        block.input_layernorm = block.post_attention_layernorm = nn.Identity()
        block.mlp = nn.Linear(32, 32, bias=False, dtype=torch.float64)
        nn.init.zeros_(block.self_attn.q_proj.weight)
    freeze(model)
    clean, corrupt, mask, positions = runs()
    asked = (both(clean, corrupt, mask), positions, LAYER, unit_rows(2))

    plain_scores = attribute_heads(model, *asked)
    with relevance_rules(model):
        relevance = attribute_heads(model, *asked)

    torch.testing.assert_close(relevance.z, plain_scores.z)
    torch.testing.assert_close(relevance.qk_fix, plain_scores.qk_fix)


def test_rules_end_with_their_block_and_are_not_those_of_gradients() -> None:
    model = random_llama()
    clean, corrupt, mask, positions = runs()
    asked = (both(clean, corrupt, mask), positions, LAYER, unit_rows(1))
    before = attribute_heads(model, *asked)

    with relevance_rules(model):
        within = attribute_heads(model, *asked)
    after = attribute_heads(model, *asked)

    assert torch.equal(before.z, after.z)
    assert torch.equal(before.q, after.q)
    assert (within.z - before.z).abs().max() > 0.01


class Bend(nn.Module):
    """A part that no rule is known for."""

    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.ones(1, dtype=torch.float64), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.by


class OddNorm(Bend):
    """Called a norm, and none."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.square() * self.by


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (Bend(), "a part Bend that no rule of relevance is known for"),
        (OddNorm(), "OddNorm does more than scale each token"),
    ],
)
def test_what_has_no_rule_is_refused(odd: nn.Module, said: str) -> None:
    model = random_llama()
    decoder_layers(model)[1].input_layernorm = odd
    clean, _, mask, _ = runs()

    with pytest.raises(ValueError, match=said), relevance_rules(model):
        residuals(model, plain(clean, mask), [LAYER])


def test_a_gate_of_an_odd_width_is_refused() -> None:
    model = random_llama()
    decoder_layers(model)[0].mlp.gate_proj = nn.Linear(32, 5, bias=False, dtype=torch.float64)

    with pytest.raises(ValueError, match="makes 53 numbers of which its last map takes 48"):
        with relevance_rules(model):
            pass
