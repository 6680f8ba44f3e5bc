"""Attribution patching against real patching, and its algebra."""

import pytest
import torch
from plain_inputs import both, plain
from random_llama import D_MODEL, LAYER, N_HEADS, N_KV_HEADS, random_llama, runs, unit_rows
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from feature_atlas.heads.exact_patch import exact_patch, exact_patch_each
from feature_atlas.heads.head_attribution import (
    HeadScores,
    attribute_heads,
    head_scores,
    run_clean_and_corrupt,
    summarise_heads,
)
from feature_atlas.vlm.head_probe import (
    PARTS,
    attention_pattern,
    attention_scaling,
    probed_heads,
    record_heads,
)
from feature_atlas.vlm.residual_stream import decoder_layers, freeze, residuals


@pytest.fixture
def model() -> LlamaForCausalLM:
    return random_llama()


@pytest.fixture
def linear_model(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """No norms, no queries (so every head averages its past), a linear MLP: linear in v and z."""
    for block in decoder_layers(model):
        block.input_layernorm = block.post_attention_layernorm = nn.Identity()
        block.mlp = nn.Linear(D_MODEL, D_MODEL, bias=False, dtype=torch.float64)
        nn.init.zeros_(block.self_attn.q_proj.weight)
    return freeze(model)


@pytest.mark.parametrize("part", ["v", "z"])
def test_the_estimate_is_exact_on_a_linear_model(linear_model: LlamaForCausalLM, part: str) -> None:
    clean, corrupt, mask, positions = runs()
    where = (positions, LAYER, unit_rows(2))

    scores = getattr(attribute_heads(linear_model, both(clean, corrupt, mask), *where), part)

    a = exact_patch_each(
        linear_model, plain(clean, mask), plain(corrupt, mask), *where, parts=[part]
    )
    b = exact_patch_each(
        linear_model, plain(corrupt, mask), plain(clean, mask), *where, parts=[part]
    )
    assert a.abs().min() > 1e-6
    torch.testing.assert_close(scores[0], a, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(scores[1], b, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("part", PARTS)
def test_the_estimate_is_exact_for_a_small_change(model: LlamaForCausalLM, part: str) -> None:
    size = 1e-7
    clean, corrupt, mask, positions = runs(size=size)
    where = (positions, LAYER, unit_rows(2))

    scores = getattr(attribute_heads(model, both(clean, corrupt, mask), *where), part) / size

    a = (
        exact_patch_each(model, plain(clean, mask), plain(corrupt, mask), *where, parts=[part])
        / size
    )
    assert a.abs().max() > 0.01
    torch.testing.assert_close(scores[0], a, atol=1e-5, rtol=1e-5)


def test_a_is_minus_b_on_a_linear_model(linear_model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()

    scores = attribute_heads(
        linear_model, both(clean, corrupt, mask), positions, LAYER, unit_rows(1)
    )

    for part in scores:
        torch.testing.assert_close(part[0], -part[1])


def test_losing_what_the_feature_reads_is_negative_in_a_and_positive_in_b() -> None:
    """One head copies the value of token 0: 3 in the clean run, 1 in the corrupt one."""
    config = LlamaConfig(
        vocab_size=4, hidden_size=2, intermediate_size=2, num_hidden_layers=1, num_attention_heads=1
    )
    model = freeze(LlamaForCausalLM(config).double())
    block = decoder_layers(model)[0]
    block.input_layernorm = nn.Identity()
    for projection in (block.self_attn.q_proj, block.self_attn.k_proj, block.mlp.down_proj):
        nn.init.zeros_(projection.weight)
    for projection in (block.self_attn.v_proj, block.self_attn.o_proj):
        projection.weight.copy_(torch.eye(2))
    clean = torch.tensor([[[3.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    corrupt = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    last_token, direction = torch.tensor([[False, True]]), torch.tensor([[1.0, 0.0]])

    scores = attribute_heads(
        model, both(clean, corrupt, torch.ones(1, 2).long()), last_token, 0, direction
    )

    # Token 1 looks at both tokens equally: its z is 3/2 or 1/2.
    assert scores.z.flatten().tolist() == pytest.approx([-1.0, 1.0])
    assert scores.v.flatten().tolist() == pytest.approx([-1.0, 1.0])
    assert scores.q.flatten().tolist() == scores.k.flatten().tolist() == [0.0, 0.0]


def test_keys_of_a_group_sum_to_the_key_projection_before_rotation(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()
    direction = unit_rows(1)

    scores = attribute_heads(model, both(clean, corrupt, mask), positions, LAYER, direction)

    for name, mine, n_heads in (("q_proj", scores.q, N_HEADS), ("k_proj", scores.k, N_KV_HEADS)):
        reference = projection_attribution(
            model, name, clean, corrupt, mask, positions, direction[0]
        )
        per_kv_head = mine[0, 0].unflatten(-1, (n_heads, -1)).sum(-1)
        torch.testing.assert_close(per_kv_head, reference.unflatten(-1, (n_heads, -1)).sum(-1))


def projection_attribution(model, name, clean, corrupt, mask, positions, direction) -> Tensor:
    """Method A at a linear layer, before rotary embedding and expansion: [batch layer width]."""

    def run(embeds: Tensor) -> tuple[Tensor, list[Tensor]]:
        seen: list[Tensor] = []
        handles = [
            getattr(block.self_attn, name).register_forward_hook(
                lambda _m, _i, out: seen.append(out)
            )
            for block in decoder_layers(model)
        ]
        y = residuals(model, plain(embeds.clone().requires_grad_(), mask), [LAYER])[LAYER]
        for handle in handles:
            handle.remove()
        return (y[positions] @ direction).sum(), seen

    objective, here = run(clean)
    _, there = run(corrupt)
    gradients = torch.autograd.grad(objective, here)
    return torch.stack(
        [(g * (b - a)).sum(1) for g, a, b in zip(gradients, here, there, strict=True)], dim=1
    ).detach()


def test_query_heads_of_one_group_have_keys_of_their_own(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()

    k = attribute_heads(model, both(clean, corrupt, mask), positions, LAYER, unit_rows(1)).k

    assert (k[..., 0] - k[..., 1]).abs().min() > 1e-9


def test_heads_above_the_layer_are_absent(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()

    scores = attribute_heads(model, both(clean, corrupt, mask), positions, 1, unit_rows(3))

    for part in scores:
        assert part.shape == (2, 3, 2, 2, N_HEADS)  # method feature batch layer head
    with pytest.raises(ValueError, match="no head L2H0 here: layers 0 to 1"):
        exact_patch(
            model,
            plain(clean, mask),
            plain(corrupt, mask),
            positions,
            1,
            unit_rows(1),
            heads=[(2, 0)],
            parts=["q"],
        )


def test_many_directions_at_once_are_each_one_alone(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()
    directions = unit_rows(3)

    together = attribute_heads(model, both(clean, corrupt, mask), positions, LAYER, directions)

    for f in range(3):
        alone = attribute_heads(
            model, both(clean, corrupt, mask), positions, LAYER, directions[f : f + 1]
        )
        for part, own in zip(together, alone, strict=True):
            torch.testing.assert_close(part[:, f : f + 1], own)


def test_every_sample_may_have_a_direction_of_its_own(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs(batch=2)
    directions = unit_rows(2)

    crossed = attribute_heads(model, both(clean, corrupt, mask), positions, LAYER, directions)
    paired = attribute_heads(model, both(clean, corrupt, mask), positions, LAYER, directions[None])

    for f in range(2):
        torch.testing.assert_close(paired.k[:, 0, f], crossed.k[:, f, f])


def test_features_of_several_layers_share_one_pass(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()

    together = run_clean_and_corrupt(model, both(clean, corrupt, mask), [0, 2])

    for layer in (0, 2):
        alone = attribute_heads(model, both(clean, corrupt, mask), positions, layer, unit_rows(2))
        shared = head_scores(together, positions, layer, unit_rows(2))
        for part, own in zip(shared, alone, strict=True):
            torch.testing.assert_close(part, own)


def test_every_feature_may_have_positions_of_its_own(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()
    last = torch.arange(positions.shape[1]).expand_as(positions) == 5
    run = run_clean_and_corrupt(model, both(clean, corrupt, mask), [LAYER])
    directions = unit_rows(2)

    together = head_scores(run, torch.stack([positions, last]), LAYER, directions)

    for feature, chosen in enumerate((positions, last)):
        alone = head_scores(run, chosen, LAYER, directions[feature : feature + 1])
        for part, own in zip(together, alone, strict=True):
            torch.testing.assert_close(part[:, feature : feature + 1], own)


@pytest.mark.parametrize(("fix", "parts"), [("q_fix", "q"), ("k_fix", "k"), ("qk_fix", "qk")])
def test_the_fix_is_exact_where_only_the_softmax_is_not_linear(
    model: LlamaForCausalLM, fix: str, parts: str
) -> None:
    """In one layer without norms and with a linear MLP, J_f is linear in the pattern."""
    block = decoder_layers(model)[0]
    block.input_layernorm = block.post_attention_layernorm = nn.Identity()
    block.mlp = nn.Linear(D_MODEL, D_MODEL, bias=False, dtype=torch.float64)
    freeze(model)
    clean, corrupt, mask, positions = runs()
    corrupt[:, 4:] += clean[:, :3]  # queries differ too
    where = (positions, 0, unit_rows(2))

    scores = attribute_heads(model, both(clean, corrupt, mask), *where)

    exact = exact_patch_each(
        model, plain(clean, mask), plain(corrupt, mask), *where, parts=list(parts)
    )
    gradient_alone = sum(getattr(scores, part) for part in parts)
    torch.testing.assert_close(getattr(scores, fix)[0], exact, atol=1e-10, rtol=1e-10)
    assert (gradient_alone[0] - exact).abs().max() > 0.1


def test_the_fix_is_the_change_of_the_pattern_times_its_gradient(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()
    direction = unit_rows(1)
    patterns: dict[int, Tensor] = {}

    def keep(part: str, layer: int, tensor: Tensor) -> Tensor:
        if part == "pattern":
            patterns[layer] = tensor
        return tensor

    with probed_heads(model, keep):
        y = residuals(model, plain(clean.clone().requires_grad_(), mask), [LAYER])[LAYER]
    gradient = torch.autograd.grad((y[positions] @ direction[0]).sum(), patterns[1])[0]
    here, there = (record_heads(model, plain(x, mask), [LAYER]) for x in (clean, corrupt))
    changed = attention_pattern(there.q[1], here.k[1], here.bias[1], attention_scaling(model, 1))
    expected = ((changed - patterns[1]) * gradient).sum((-1, -2)).detach()

    scores = attribute_heads(model, both(clean, corrupt, mask), positions, LAYER, direction)

    torch.testing.assert_close(scores.q_fix[0, 0, :, 1], expected)


def test_padding_changes_no_score(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()
    short = both(clean[1:, :-1], corrupt[1:, :-1], mask[1:, :-1])

    padded = attribute_heads(model, both(clean, corrupt, mask), positions, LAYER, unit_rows(1))
    unpadded = attribute_heads(model, short, positions[1:, :-1], LAYER, unit_rows(1))

    for part, own in zip(padded, unpadded, strict=True):
        torch.testing.assert_close(part[:, :, 1:], own)


def test_parameters_that_want_gradients_are_refused(model: LlamaForCausalLM) -> None:
    model.requires_grad_(True)

    with pytest.raises(ValueError, match=r"Call vlm.freeze\(model\) first"):
        attribute_heads(model, both(*runs()[:3]), runs()[3], LAYER, unit_rows(1))


def test_runs_of_different_prompts_are_refused(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()

    twice = both(clean, corrupt, mask)
    twice.token_mask[1, 5:] = 0  # the clean prompt alone

    with pytest.raises(
        ValueError, match=r"clean prompts are \[2, 7\], corrupt \[2, 7\], or padded"
    ):
        attribute_heads(model, twice, positions, LAYER, unit_rows(1))


def test_the_summary_is_a_mean_with_its_standard_error() -> None:
    q = torch.tensor([1.0, 3.0, 5.0]).view(1, 1, 3, 1, 1).expand(2, 1, 3, 1, 1)
    zero = torch.zeros_like(q)

    summary = summarise_heads(HeadScores(q, zero + 1, *[zero] * 5))

    assert summary.score[0, 0, 0, 0] == 4.0  # mean of 2, 4, 6
    assert summary.standard_error[0, 0, 0, 0] == pytest.approx(2 / 3**0.5)  # deviation 2, n = 3
    assert summary.n_samples == 3
    with pytest.raises(ValueError, match="expected at least 2"):
        summarise_heads(HeadScores(q[:, :, :1], *[zero[:, :, :1]] * 6))
