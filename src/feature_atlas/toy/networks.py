"""The two networks, small but of the real architecture: Llama, and LLaVA around it."""

import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from feature_atlas.toy.draw import CELL_PIXELS, IMAGE_PIXELS
from feature_atlas.toy.scene import N_CELLS
from feature_atlas.toy.tokenizer import vocabulary

WIDTH = 128
N_LAYERS = 6
N_HEADS = 8
N_KEY_VALUE_HEADS = 4
# With the usual 0.02 a network this small stays on a plateau for thousands of steps.
INITIAL_STD = 0.08
# Words must not drown in what the layers add; the small final norm keeps first guesses mild.
EMBEDDING_STD = 0.3
# Shared by all words: without biases, only such a part lets a head attend by place alone.
EMBEDDING_MEAN = 0.3
FINAL_NORM = 0.3


def language_config() -> LlamaConfig:
    """Six layers of width 128, eight query heads over four key/value heads."""
    numbers = vocabulary()
    return LlamaConfig(
        vocab_size=len(numbers),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=N_HEADS,
        num_key_value_heads=N_KEY_VALUE_HEADS,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=INITIAL_STD,
        bos_token_id=numbers["<bos>"],
        eos_token_id=numbers["<eos>"],
        pad_token_id=numbers["<pad>"],
    )


def vision_config() -> CLIPVisionConfig:
    """Four layers of width 64 over 16 patches; LLaVA reads the last but one."""
    return CLIPVisionConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=IMAGE_PIXELS,
        patch_size=CELL_PIXELS,
        projection_dim=64,
        initializer_range=INITIAL_STD,
    )


@torch.no_grad()
def new_language_model() -> LlamaForCausalLM:
    """An untrained language model; weights from torch's global seed.

    Questions are answered by looking up the word they share with the scene. From the usual start
    that takes a thousand steps of nothing and then comes at once, since finding the word is of no
    use before something is written there, and the other way round. This start is closer: the
    stream carries the words alone, and a head's query equals its key, so a word seeks its like.
    """
    model = LlamaForCausalLM(language_config())
    model.model.embed_tokens.weight.normal_(mean=EMBEDDING_MEAN, std=EMBEDDING_STD)
    model.model.norm.weight.fill_(FINAL_NORM)
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        heads = layer.self_attn.q_proj.weight.view(N_KEY_VALUE_HEADS, -1, WIDTH // N_HEADS, WIDTH)
        heads[:, 0] = layer.self_attn.k_proj.weight.view(N_KEY_VALUE_HEADS, -1, WIDTH)
    return model


def new_vlm(language_model: LlamaForCausalLM) -> LlavaForConditionalGeneration:
    """A VLM whose text model starts as the language model, and whose eyes are untrained."""
    config = LlavaConfig(
        vision_config=vision_config(),
        text_config=language_model.config,
        image_token_id=vocabulary()["<image>"],
        image_seq_length=N_CELLS,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    vlm = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        vlm.model.language_model.load_state_dict(language_model.model.state_dict())
        vlm.lm_head.load_state_dict(language_model.lm_head.state_dict())
    vlm.tie_weights()
    return vlm
