"""Attention that can be looked into: the same numbers, and gone afterwards."""

import pytest
import torch
from plain_inputs import both, plain
from random_llama import LAYER, N_LAYERS, random_llama, runs, text_config, unit_rows
from torch import Tensor
from transformers import (
    CLIPVisionConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from feature_atlas.heads.head_attribution import attribute_heads
from feature_atlas.vlm.decoder_inputs import text_model
from feature_atlas.vlm.head_probe import probed_heads, record_heads
from feature_atlas.vlm.residual_stream import decoder_layers, freeze, residuals


@pytest.fixture
def model() -> LlamaForCausalLM:
    return random_llama()


def test_our_attention_equals_sdpa_and_is_gone_afterwards(model: LlamaForCausalLM) -> None:
    clean, corrupt, mask, positions = runs()
    before = residuals(model, plain(clean, mask), [LAYER])[LAYER]

    ours = record_heads(model, plain(clean, mask), [LAYER]).residual
    attribute_heads(model, both(clean, corrupt, mask), positions, LAYER, unit_rows(1))
    with pytest.raises(KeyError), probed_heads(model, lambda *_: {}["no"]):
        residuals(model, plain(clean, mask), [0])

    assert model.config._attn_implementation == "sdpa"
    torch.testing.assert_close(ours[mask.bool()], before[mask.bool()], atol=1e-12, rtol=1e-9)
    assert torch.equal(residuals(model, plain(clean, mask), [LAYER])[LAYER], before)
    assert len(decoder_layers(model)) == model.config.num_hidden_layers == N_LAYERS


def test_only_the_text_model_of_a_vlm_is_looked_into() -> None:
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        image_size=8, patch_size=4,
    )  # fmt: skip
    vlm = freeze(
        LlavaForConditionalGeneration(
            LlavaConfig(vision_config=vision, text_config=text_config())
        ).double()
    )
    clean, corrupt, mask, positions = runs()
    seen = []

    def look(part: str, layer: int, tensor: Tensor) -> Tensor:
        seen.append((vlm.model.vision_tower.config._attn_implementation, part, layer))
        return tensor

    with probed_heads(vlm, look):
        residuals(vlm, plain(clean, mask), [0])
    scores = attribute_heads(vlm, both(clean, corrupt, mask), positions, LAYER, unit_rows(1))

    assert seen == [("sdpa", part, 0) for part in ("q", "k", "v", "bias", "pattern", "z")]
    assert text_model(vlm).config._attn_implementation == "sdpa"
    assert scores.q.abs().sum() > 0
