"""Integrated gradients against completeness, and against an integral by scipy."""

import pytest
import torch
from plain_inputs import both, plain
from random_llama import D_MODEL, LAYER, N_HEADS, random_llama, runs, unit_rows
from scipy.integrate import quad
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from feature_atlas.heads.head_attribution import (
    SwapScores,
    attribute_heads,
    first_order,
    run_clean_and_corrupt,
    scores_of_rows,
)
from feature_atlas.heads.integrated_gradients import both_ways, run_between, steps
from feature_atlas.vlm.head_probe import record_heads
from feature_atlas.vlm.residual_stream import decoder_layers, freeze, residuals


@pytest.fixture
def model() -> LlamaForCausalLM:
    return random_llama()


def integrated(model: LlamaForCausalLM, layer: int, rows: Tensor, n: int) -> SwapScores:
    clean, corrupt, mask, positions = runs()
    ends = run_clean_and_corrupt(model, both(clean, corrupt, mask), [layer])
    mean = torch.zeros((), dtype=torch.float64)
    for place, weight in steps(n):
        between = plain(corrupt + place * (clean - corrupt), mask)
        run = run_between(model, between, ends, [layer])
        mean = mean + weight * scores_of_rows(run, positions, layer, rows)
    return both_ways(mean)


def objective_at(model: LlamaForCausalLM, place: float, rows: Tensor) -> Tensor:
    clean, corrupt, mask, positions = runs()
    y = residuals(model, plain(corrupt + place * (clean - corrupt), mask), [LAYER])[LAYER]
    return torch.einsum("btd,bt,d->b", y, positions.double(), rows[0])


def test_of_the_embeddings_it_adds_up_to_the_difference_of_the_objective(
    model: LlamaForCausalLM,
) -> None:
    clean, corrupt, mask, positions = runs()
    rows = unit_rows(1)
    difference = objective_at(model, 1, rows) - objective_at(model, 0, rows)

    def gap(n: int) -> float:
        total = torch.zeros(2, dtype=torch.float64)
        for place, weight in steps(n):
            embeds = (corrupt + place * (clean - corrupt)).requires_grad_()
            y = residuals(model, plain(embeds, mask), [LAYER])[LAYER]
            gradient = torch.autograd.grad((y[positions] @ rows[0]).sum(), embeds)[0]
            total += weight * (gradient * (clean - corrupt)).sum((1, 2))
        return float((total - difference).abs().max())

    gaps = [gap(n) for n in (2, 5, 20, 60)]
    assert gaps[-1] < 1e-4 < 1 < gaps[0]
    assert gaps == sorted(gaps, reverse=True)


def test_heads_that_are_the_only_way_account_for_all_of_it(model: LlamaForCausalLM) -> None:
    """In a layer that averages its past z moves in a straight line, and completeness holds."""
    block = decoder_layers(model)[0]
    block.input_layernorm = nn.Identity()
    nn.init.zeros_(block.self_attn.q_proj.weight)
    freeze(model)
    clean, corrupt, mask, positions = runs()
    rows = unit_rows(1)

    found = integrated(model, 0, rows, 40)

    change = residuals(model, plain(clean, mask), [0])[0]
    change = change - residuals(model, plain(corrupt, mask), [0])[0]
    difference = torch.einsum("btd,bt,d->b", change, positions.double(), rows[0])
    torch.testing.assert_close(found.z[1, 0].sum((-1, -2)), difference, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(found.z[0], -found.z[1])
    assert found.z.shape[-1] == N_HEADS


def test_it_is_the_integral_of_the_gradient_times_the_difference(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()
    rows = unit_rows(1)
    there, here = (record_heads(model, plain(x, mask), [LAYER]) for x in (clean, corrupt))

    def rate(place: float) -> float:
        """Of sample 0, layer 1, head 2: gradient of J at z, k and q, by plain autograd."""
        embeds = (corrupt + place * (clean - corrupt)).requires_grad_()
        run = record_heads(model, plain(embeds, mask), [LAYER])
        j = (run.residual[positions] @ rows[0]).sum()
        gradients = torch.autograd.grad(j, (run.q[1], run.k[1]))
        moved = (there.q[1] - here.q[1], there.k[1] - here.k[1])
        return sum(float((g * m)[0, 2].sum()) for g, m in zip(gradients, moved, strict=True))

    expected, _ = quad(rate, 0, 1, epsabs=1e-6, limit=40)

    found = integrated(model, LAYER, rows, 40)
    assert float(found.qk[1, 0, 0, 1, 2]) == pytest.approx(expected, abs=1e-4)
    assert float(integrated(model, LAYER, rows, 1).qk[1, 0, 0, 1, 2]) == pytest.approx(
        rate(0.5), abs=1e-9
    )


def test_where_all_is_linear_one_step_is_method_b(model: LlamaForCausalLM) -> None:
    for block in decoder_layers(model):
        block.input_layernorm = block.post_attention_layernorm = nn.Identity()
        block.mlp = nn.Linear(D_MODEL, D_MODEL, bias=False, dtype=torch.float64)
        nn.init.zeros_(block.self_attn.q_proj.weight)
    freeze(model)
    clean, corrupt, mask, positions = runs()

    found = integrated(model, LAYER, unit_rows(2), 1)

    plain_scores = first_order(
        attribute_heads(model, both(clean, corrupt, mask), positions, LAYER, unit_rows(2))
    )
    torch.testing.assert_close(found.z, plain_scores.z)


def test_five_steps_integrate_a_polynomial_of_degree_nine() -> None:
    found = sum(weight * place**9 for place, weight in steps(5))

    assert found == pytest.approx(1 / 10, rel=1e-12)
    assert sum(weight for _, weight in steps(5)) == pytest.approx(1)
    with pytest.raises(ValueError, match="0 steps from the corrupt to the clean run"):
        steps(0)


def test_other_prompts_than_at_the_ends_are_refused(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, _ = runs()
    ends = run_clean_and_corrupt(model, both(clean, corrupt, mask), [LAYER])

    with pytest.raises(ValueError, match="1 prompts between a clean and a corrupt run of 2"):
        run_between(model, plain(clean[:1], mask[:1]), ends, [LAYER])
