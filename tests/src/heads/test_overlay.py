"""Attention maps: whose attention, to which patch, of which heads."""

import numpy as np
import pytest
import torch
from PIL import Image
from plain_inputs import plain
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from feature_atlas.heads.overlay import blend, choose_heads, image_attention
from feature_atlas.vlm.decoder_inputs import text_model
from feature_atlas.vlm.residual_stream import freeze


@pytest.fixture
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=20, hidden_size=32, intermediate_size=32, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.3,
    )  # fmt: skip
    return freeze(LlamaForCausalLM(config))


def prompts() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two prompts: token 0, image tokens 1 to 4, text 5 to 7.

    The second is padded by one, and its picture begins with a marker.
    """
    embeds = torch.randn(2, 8, 32, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[1, 7] = 0
    token = torch.arange(8).expand(2, 8)
    is_image = (token >= 1) & (token <= 4)
    is_image[1, 1] = False
    return embeds, mask, (token >= 5) & mask.bool(), is_image


def test_weights_are_the_eager_attention_from_text_to_image(model: LlamaForCausalLM) -> None:
    embeds, mask, is_text, is_image = prompts()

    seen = image_attention(model, plain(embeds, mask), is_text, is_image, heads=[(2, 3), (0, 1)])

    text_model(model).set_attn_implementation("eager")
    maps = text_model(model)(inputs_embeds=embeds, attention_mask=mask, output_attentions=True)
    for i, (layer, head) in enumerate([(2, 3), (0, 1)]):
        pattern = maps.attentions[layer][:, head]
        torch.testing.assert_close(seen.weights[0][i], pattern[0, 5:8, 1:5].mean(0))
        torch.testing.assert_close(seen.weights[1][i], pattern[1, 5:7, 2:5].mean(0))
        torch.testing.assert_close(
            seen.image_mass[:, i], torch.stack([w[i].sum() for w in seen.weights])
        )
    assert (seen.image_mass < 1).all()


def test_the_model_is_left_as_it_was(model: LlamaForCausalLM) -> None:
    embeds, mask, *masks = prompts()

    image_attention(model, plain(embeds, mask), *masks, heads=[(1, 0)])

    assert model.config._attn_implementation == "sdpa"
    assert model.config.num_hidden_layers == 3


def test_a_prompt_without_image_or_question_is_refused(model: LlamaForCausalLM) -> None:
    embeds, mask, is_text, is_image = prompts()
    none = torch.zeros_like(is_text)

    with pytest.raises(ValueError, match=r"prompts with \[0\] image tokens"):
        image_attention(model, plain(embeds, mask), is_text, none, heads=[(0, 0)])
    with pytest.raises(ValueError, match="sample 0 of the batch has no query token"):
        image_attention(model, plain(embeds, mask), none, is_image, heads=[(0, 0)])


def test_random_heads_look_at_the_picture_as_much_as_the_top_ones() -> None:
    scores = torch.tensor([[9.0, -8.0, 0.1, 0.0], [1.0, 1.1, 1.2, 1.3], [1.4, 1.5, 1.6, 1.7]])
    mass = torch.tensor([[0.9, 0.1, 0.5, 0.5], [0.9, 0.1, 0.9, 0.1], [0.9, 0.1, 0.9, 0.9]])

    chosen = choose_heads(scores, mass, n=2, seed=3)

    assert chosen.top == [(0, 0), (0, 1)]
    assert chosen.bottom == [(0, 3), (0, 2)]
    assert mass[chosen.random[0]] == pytest.approx(0.9)
    assert not set(chosen.random) & {*chosen.top, *chosen.bottom}
    assert chosen == choose_heads(scores, mass, n=2, seed=3)


def test_of_two_heads_that_look_alike_the_one_of_the_same_layer_is_the_match() -> None:
    n_layers, n_heads = 9, 4
    scores = torch.full((n_layers, n_heads), 1.0) + torch.rand(n_layers, n_heads)
    scores[4, 0], scores[8, 3] = 9.0, 0.0
    mass = torch.full((n_layers, n_heads), 0.5)
    mass[4] = torch.tensor([0.3, 0.9, 0.9, 0.29])
    mass[0, 2] = 0.3  # as much exactly, but four layers away

    drawn = {choose_heads(scores, mass, n=1, seed=seed).random[0] for seed in range(40)}

    near = [(4, 3), (0, 2), (3, 0)]
    assert drawn >= {near[0], near[1]}  # by lot among the five nearest
    distance = {
        (layer, head): abs(float(mass[layer, head]) - 0.3) + 0.02 * abs(layer - 4)
        for layer in range(n_layers)
        for head in range(n_heads)
        if (layer, head) not in ((4, 0), (8, 3))
    }
    furthest = sorted(distance.values())[4]
    assert all(distance[head] <= furthest for head in drawn)
    assert min(distance, key=distance.__getitem__) == (4, 3)


def test_a_model_of_few_heads_shows_fewer_of_each_kind() -> None:
    chosen = choose_heads(torch.tensor([[1.0, -5.0, 2.0, 0.5]]), torch.rand(1, 4), n=2)

    assert (chosen.top, chosen.bottom) == ([(0, 1)], [(0, 3)])
    assert len(chosen.random) == 1


def test_too_few_heads_for_three_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 3 heads, for a top, a bottom and a random one"):
        choose_heads(torch.zeros(1, 2), torch.zeros(1, 2), n=2)


def test_blending_reddens_the_hot_half_and_dims_the_cold() -> None:
    grey = Image.new("RGB", (4, 2), (128, 128, 128))
    heat = np.array([[2.0, 2.0, 0.0, 0.0]] * 2)

    blended = np.asarray(blend(grey, heat)).astype(int)

    assert blended[0, 0].tolist() == [197, 79, 57]  # 0.45 * 128 + 0.55 * (255, 40, 0)
    assert blended[0, 3].tolist() == [57, 57, 90]
    with pytest.raises(ValueError, match="bring the patch grid to the picture"):
        blend(grey, heat.T)
