"""A model in which two known heads carry the picture into a known feature."""

import pytest
import torch
from plain_inputs import both, plain
from random_llama import D_MODEL, N_HEADS, N_KV_HEADS, random_llama
from torch import Tensor
from transformers import LlamaForCausalLM

from feature_atlas.heads.exact_patch import exact_patch_each
from feature_atlas.heads.head_attribution import HeadScores, attribute_heads
from feature_atlas.heads.localisation import KINDS, Located, compare, on_objects
from feature_atlas.heads.overlay import choose_heads, image_attention
from feature_atlas.vlm.head_probe import Head
from feature_atlas.vlm.residual_stream import decoder_layers

LAYER, N_IMAGE, N_TEXT, BATCH = 2, 6, 4, 8
D_HEAD = D_MODEL // N_HEADS
SLOW = D_HEAD // 2 - 1
"""A dimension that the rotary embedding hardly turns."""
SEEN, PLACE, TEXT, FEATURE = torch.eye(D_MODEL, dtype=torch.float64)[:4]
"""Something to see; the place it may be at; a mark of text tokens; the feature's direction."""


def planted_model(seed: int, sharpness: float = 0.8) -> tuple[LlamaForCausalLM, set[Head]]:
    """Text looks for what is seen and reads the place; all other heads are small and random."""
    model, generator = random_llama(), torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.copy_(0.08 * torch.randn(parameter.shape, generator=generator))
    layers = torch.randperm(LAYER + 1, generator=generator)[:2].tolist()
    heads = torch.randint(N_HEADS, (2,), generator=generator).tolist()
    planted = set(zip(layers, heads, strict=True))
    for layer, head in planted:
        attention = decoder_layers(model)[layer].self_attn
        group = head // (N_HEADS // N_KV_HEADS)
        attention.q_proj.weight[head * D_HEAD : (head + 1) * D_HEAD] = 0
        attention.q_proj.weight[head * D_HEAD + SLOW] = sharpness * TEXT
        attention.k_proj.weight[group * D_HEAD : (group + 1) * D_HEAD] = 0
        attention.k_proj.weight[group * D_HEAD + SLOW] = sharpness * SEEN
        attention.v_proj.weight[group * D_HEAD : (group + 1) * D_HEAD] = 0
        attention.v_proj.weight[group * D_HEAD] = PLACE
        attention.o_proj.weight[:, head * D_HEAD] = FEATURE
        partner = head ^ 1  # has the same keys and values, and must not say the same
        attention.o_proj.weight[:, partner * D_HEAD] = 0
    return model, planted


def planted_runs(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Clean and corrupt embeddings: what is seen at one place is taken away, the place stays."""
    generator = torch.Generator().manual_seed(100 + seed)
    clean = 0.3 * torch.randn(
        BATCH, N_IMAGE + N_TEXT, D_MODEL, generator=generator, dtype=torch.float64
    )
    clean[:, N_IMAGE:] += 3 * TEXT
    at = torch.randint(N_IMAGE, (BATCH,), generator=generator)
    clean[torch.arange(BATCH), at] += 3 * PLACE
    corrupt = clean.clone()
    clean[torch.arange(BATCH), at] += 3 * SEEN
    positions = torch.arange(N_IMAGE + N_TEXT).expand(BATCH, -1) >= N_IMAGE
    return clean, corrupt, torch.ones(BATCH, N_IMAGE + N_TEXT).long(), positions


def first_two(drive: Tensor) -> set[Head]:
    best = drive.flatten().argsort(descending=True)[:2].tolist()
    return {divmod(i, N_HEADS) for i in best}


@pytest.mark.parametrize("seed", range(5))
def test_planted_heads_come_first_by_every_method_and_by_the_exact_patch(seed: int) -> None:
    model, planted = planted_model(seed)
    clean, corrupt, mask, positions = planted_runs(seed)
    where = (positions, LAYER, FEATURE[None])

    scores = attribute_heads(model, both(clean, corrupt, mask), *where)

    a, b = (scores.q + scores.k).mean(2)[:, 0]
    fix_a, fix_b = scores.qk_fix.mean(2)[:, 0]
    exact_a = exact_patch_each(
        model, plain(clean, mask), plain(corrupt, mask), *where, parts=["q", "k"]
    ).mean(1)[0]
    exact_b = exact_patch_each(
        model, plain(corrupt, mask), plain(clean, mask), *where, parts=["q", "k"]
    ).mean(1)[0]
    for drive in (-a, b, -fix_a, fix_b, -exact_a, exact_b):
        assert first_two(drive) == planted


def test_the_fix_finds_saturated_heads_that_the_gradient_misses() -> None:
    """Four times the logits: the text looks nowhere else, and a gradient there is nothing."""
    model, planted = planted_model(0, sharpness=1.6)
    clean, corrupt, mask, positions = planted_runs(0)
    where = (positions, LAYER, FEATURE[None])

    scores: HeadScores = attribute_heads(model, both(clean, corrupt, mask), *where)

    exact = exact_patch_each(
        model, plain(clean, mask), plain(corrupt, mask), *where, parts=["q", "k"]
    ).mean(1)[0]
    for head in planted:
        assert abs((scores.q + scores.k).mean(2)[0, 0][head]) < 0.2 * abs(exact[head])
        assert scores.qk_fix.mean(2)[0, 0][head] == pytest.approx(float(exact[head]), rel=0.2)


def test_planted_heads_look_at_what_is_seen_and_bottom_and_matched_heads_do_not() -> None:
    """Over 5 models: lift of the strongest heads less that of others, intervals without 0."""
    located = []
    for seed in range(5):
        model, planted = planted_model(seed)
        clean, corrupt, mask, positions = planted_runs(seed)
        found = attribute_heads(model, both(clean, corrupt, mask), positions, LAYER, FEATURE[None])
        heads = [(layer, head) for layer in range(LAYER + 1) for head in range(N_HEADS)]
        seen = image_attention(model, plain(clean, mask), positions, ~positions, heads)
        mass = seen.image_mass.mean(0).reshape(LAYER + 1, N_HEADS)
        chosen = choose_heads((found.q + found.k).mean(2)[1, 0], mass, n=2, seed=seed)
        assert set(chosen.top) == planted
        is_seen = ((clean - corrupt).abs().sum(-1) > 0)[:, :N_IMAGE]  # one patch of six
        for sample in range(BATCH):
            patches, weights = is_seen[sample].view(2, 3).numpy(), seen.weights[sample].numpy()
            scores = {
                kind: [on_objects(weights[heads.index(h)], patches) for h in getattr(chosen, kind)]
                for kind in KINDS
            }
            located.append(Located((seed, sample), scores))

    rows = {row.what: row for row in compare(located)}

    assert rows["top"].lift_low > 3  # of 6: all of it on the one patch
    for contrast in ("top - bottom", "top - random"):
        assert rows[contrast].lift_low > 1
        assert rows[contrast].share_low > 0.2
    for kind in ("bottom", "random"):
        assert rows[kind].lift == pytest.approx(1, abs=0.4)
