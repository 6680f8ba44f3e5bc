"""Attention maps: whose attention, to which patch, and where that patch lies in the picture."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessorPil, LlamaConfig, LlamaForCausalLM
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from feature_atlas.overlay import (
    Geometry,
    blend,
    choose_heads,
    geometry,
    grid_shape,
    image_attention,
    on_picture,
)
from feature_atlas.vlm import freeze, text_model

GRID, PIXELS = 4, 32


@pytest.fixture
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20, hidden_size=32, intermediate_size=32, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.3,
    )  # fmt: skip
    return freeze(LlamaForCausalLM(config))


def prompts() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two prompts: token 0, image tokens 1 to 4, text 5 to 7; the second is padded by one."""
    embeds = torch.randn(2, 8, 32, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[1, 7] = 0
    token = torch.arange(8).expand(2, 8)
    return embeds, mask, (token >= 5) & mask.bool(), (token >= 1) & (token <= 4)


def test_weights_are_the_eager_attention_from_text_to_image(model: LlamaForCausalLM) -> None:
    embeds, mask, is_text, is_image = prompts()

    seen = image_attention(model, embeds, mask, is_text, is_image, heads=[(2, 3), (0, 1)])

    text_model(model).set_attn_implementation("eager")
    maps = text_model(model)(inputs_embeds=embeds, attention_mask=mask, output_attentions=True)
    for i, (layer, head) in enumerate([(2, 3), (0, 1)]):
        pattern = maps.attentions[layer][:, head]
        torch.testing.assert_close(seen.weights[0, i], pattern[0, 5:8, 1:5].mean(0))
        torch.testing.assert_close(seen.weights[1, i], pattern[1, 5:7, 1:5].mean(0))
    torch.testing.assert_close(seen.image_mass, seen.weights.sum(-1))
    assert (seen.image_mass < 1).all()


def test_the_model_is_left_as_it_was(model: LlamaForCausalLM) -> None:
    image_attention(model, *prompts(), heads=[(1, 0)])

    assert model.config._attn_implementation == "sdpa"
    assert model.config.num_hidden_layers == 3


def test_a_prompt_without_image_or_question_is_refused(model: LlamaForCausalLM) -> None:
    embeds, mask, is_text, is_image = prompts()
    none = torch.zeros_like(is_text)

    with pytest.raises(ValueError, match=r"prompts with \[0\] image tokens"):
        image_attention(model, embeds, mask, is_text, none, heads=[(0, 0)])
    with pytest.raises(ValueError, match="sample 0 of the batch has no query token"):
        image_attention(model, embeds, mask, none, is_image, heads=[(0, 0)])


def test_random_heads_look_at_the_picture_as_much_as_the_top_ones() -> None:
    scores = torch.tensor([[9.0, -8.0, 0.1, 0.0], [1.0, 1.1, 1.2, 1.3], [1.4, 1.5, 1.6, 1.7]])
    mass = torch.tensor([[0.9, 0.1, 0.5, 0.5], [0.9, 0.1, 0.9, 0.1], [0.9, 0.1, 0.9, 0.9]])

    chosen = choose_heads(scores, mass, n=2, seed=3)

    assert chosen.top == [(0, 0), (0, 1)]
    assert chosen.bottom == [(0, 3), (0, 2)]
    assert mass[chosen.random[0]] == pytest.approx(0.9)
    assert not set(chosen.random) & {*chosen.top, *chosen.bottom}
    assert chosen == choose_heads(scores, mass, n=2, seed=3)


def test_too_few_heads_for_three_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 6 heads for 2 top, bottom and random"):
        choose_heads(torch.zeros(1, 5), torch.zeros(1, 5), n=2)


def clip(**size: int) -> CLIPImageProcessorPil:
    square = {"height": PIXELS, "width": PIXELS}
    return CLIPImageProcessorPil(size=size or {"shortest_edge": PIXELS}, crop_size=square)


def llava_padded() -> LlavaImageProcessorPil:
    square = {"height": PIXELS, "width": PIXELS}
    return LlavaImageProcessorPil(size=square, crop_size=square, do_pad=True)


PROCESSORS = {
    "centre crop": clip(),
    "stretch": clip(height=PIXELS, width=PIXELS),
    "pad": llava_padded(),
}


@pytest.mark.parametrize("processor", PROCESSORS.values(), ids=PROCESSORS)
@pytest.mark.parametrize("size", [(64, 64), (128, 64), (64, 128), (100, 60)], ids=str)
@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_the_red_half_of_a_picture_lights_up_on_its_own_side(processor, size, side) -> None:
    """Through the real processor: redness per patch, brought back to the picture."""
    width, height = size
    x, y = np.arange(width) < width / 2, (np.arange(height) < height / 2)[:, None]
    red = {"left": x, "right": ~x, "top": y, "bottom": ~y}[side] & np.ones((height, width), bool)
    picture = Image.fromarray(np.where(red[..., None], (255, 0, 0), (0, 0, 255)).astype(np.uint8))

    pixels = processor(images=picture, return_tensors="np")["pixel_values"][0]
    red_channel, _, blue_channel = pixels.reshape(3, GRID, PIXELS // GRID, GRID, -1).mean((2, 4))
    seen = geometry(processor, width, height)
    heat = on_picture((red_channel > blue_channel).astype(float), seen, width, height)

    assert (seen.height, seen.width) == pixels.shape[1:]
    assert grid_shape(GRID * GRID, seen) == (GRID, GRID)
    cut = abs(width - height) // 2 if processor is PROCESSORS["centre crop"] else 0
    cut_x, cut_y = (cut, 0) if width > height else (0, cut)
    inside = np.s_[cut_y : height - cut_y, cut_x : width - cut_x]
    # Edges of odd sizes may be off by one pixel seen, which is up to two of the picture.
    assert (heat[inside] == red[inside]).mean() >= (0.93 if width % 64 else 1.0)
    assert heat.sum() - heat[inside].sum() <= (2 * height if width % 64 else 0)


def test_geometry_of_a_wide_picture_by_hand() -> None:
    assert geometry(clip(), 128, 64) == Geometry(0.5, 0.5, -16, 0, 32, 32)  # 64 x 32, 16 cut off
    assert geometry(llava_padded(), 128, 64) == Geometry(0.25, 0.25, 0, 8, 32, 32)  # 8 rows of pad


def test_an_unknown_resize_rule_says_what_is_expected() -> None:
    processor = clip(longest_edge=50)

    with pytest.raises(ValueError, match="expected shortest_edge alone, or height and width"):
        geometry(processor, 10, 10)


def test_575_tokens_do_not_tile_a_square() -> None:
    with pytest.raises(ValueError, match="575 image tokens do not tile 336 x 336"):
        grid_shape(575, Geometry(1, 1, 0, 0, 336, 336))


def test_blending_reddens_the_hot_half_and_dims_the_cold() -> None:
    grey = Image.new("RGB", (4, 2), (128, 128, 128))
    heat = np.array([[2.0, 2.0, 0.0, 0.0]] * 2)

    blended = np.asarray(blend(grey, heat)).astype(int)

    assert blended[0, 0].tolist() == [197, 79, 57]  # 0.45 * 128 + 0.55 * (255, 40, 0)
    assert blended[0, 3].tolist() == [57, 57, 90]
    with pytest.raises(ValueError, match="bring the patch grid to the picture"):
        blend(grey, heat.T)
