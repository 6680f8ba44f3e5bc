"""Tiny models of the Llava classes: text models of several kinds, tiles, pictures of any size."""

from typing import Any

import transformers as hf
from family_parts import (
    CAPPED,
    CHATML,
    GEMMA,
    HEADED,
    SOFT_CAPS,
    TEXT,
    TOWER,
    Family,
    chatml_tokenizer,
    gemma_tokenizer,
    llama_tokenizer,
    template,
)
from transformers.utils import is_torchvision_available

from feature_atlas.etl.inputs.processors import pictures_only


def _llava(text: hf.PreTrainedConfig, tok: Any, chat: str, **settings: Any) -> Family:
    config = hf.LlavaConfig(
        text_config=text,
        vision_config=hf.CLIPVisionConfig(**TOWER),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
    )
    pixels = hf.CLIPImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )
    processor = hf.LlavaProcessor(
        pixels, tok, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=chat, **settings,
    )  # fmt: skip
    return Family(hf.LlavaForConditionalGeneration(config), processor)


VICUNA = ("{{ m['role'].upper() }}: ", "", " ASSISTANT:")


def llava() -> Family:
    tok = llama_tokenizer("<image>")
    chat = template(VICUNA[0], "<image>\n", VICUNA[1], VICUNA[2], "{{ bos_token }}")
    return _llava(hf.LlamaConfig(vocab_size=len(tok), **HEADED), tok, chat)


def llava_mistral() -> Family:
    tok = llama_tokenizer("<image>", "[INST]", "[/INST]")
    text = hf.MistralConfig(vocab_size=len(tok), **HEADED, sliding_window=6)
    return _llava(text, tok, template("[INST]", "<image>\n", "[/INST]", "", "{{ bos_token }}"))


def llava_qwen() -> Family:
    tok = chatml_tokenizer("<image>")
    text = hf.Qwen2Config(vocab_size=len(tok), **TEXT)
    return _llava(text, tok, template(CHATML[0], "<image>\n", CHATML[1], CHATML[2]))


def llava_phi() -> Family:
    tok = llama_tokenizer("<image>")
    chat = template(VICUNA[0], "<image>\n", VICUNA[1], VICUNA[2], "{{ bos_token }}")
    return _llava(hf.PhiConfig(vocab_size=len(tok), **TEXT), tok, chat)


def llava_gemma2() -> Family:
    tok = gemma_tokenizer("<image>")
    text = hf.Gemma2Config(vocab_size=len(tok), **HEADED, **CAPPED, **SOFT_CAPS)
    return _llava(text, tok, template(GEMMA[0], "<image>\n", GEMMA[1], GEMMA[2], "{{ bos_token }}"))


def llava_granite() -> Family:
    tok = llama_tokenizer("<image>")
    text = hf.GraniteConfig(
        vocab_size=len(tok), **TEXT, embedding_multiplier=3.0, attention_multiplier=0.5,
        residual_multiplier=0.7, logits_scaling=2.0,
    )  # fmt: skip
    chat = template(VICUNA[0], "<image>\n", VICUNA[1], VICUNA[2], "{{ bos_token }}")
    return _llava(text, tok, chat)


def llava_next() -> Family:
    tok = llama_tokenizer("<image>")
    grid = [[28, 56], [56, 28], [56, 56]]
    config = hf.LlavaNextConfig(
        text_config=hf.LlamaConfig(vocab_size=len(tok), **HEADED),
        vision_config=hf.CLIPVisionConfig(**TOWER),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
        image_grid_pinpoints=grid,
    )
    pixels = hf.LlavaNextImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28},
        image_grid_pinpoints=grid,
    )  # fmt: skip
    processor = hf.LlavaNextProcessor(
        pixels, tok, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template(VICUNA[0], "<image>\n", VICUNA[1], VICUNA[2], "{{ bos_token }}"),
    )  # fmt: skip
    return Family(hf.LlavaNextForConditionalGeneration(config), processor)


def llava_onevision() -> Family:
    tok = chatml_tokenizer("<image>", "<video>")
    grid = [[28, 28], [28, 56], [56, 28], [56, 56]]
    config = hf.LlavaOnevisionConfig(
        text_config=hf.Qwen2Config(vocab_size=len(tok), **TEXT),
        vision_config=hf.SiglipVisionConfig(vision_use_head=False, **TOWER),
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        video_token_index=tok.convert_tokens_to_ids("<video>"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        image_grid_pinpoints=grid,
    )
    pixels = hf.LlavaOnevisionImageProcessorPil(
        size={"height": 28, "width": 28}, image_grid_pinpoints=grid
    )
    processor = pictures_only(hf.LlavaOnevisionProcessor)(
        pixels, tok, video_processor=None, num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=template(CHATML[0], "<image>\n", CHATML[1], CHATML[2]),
    )  # fmt: skip
    return Family(hf.LlavaOnevisionForConditionalGeneration(config), processor)


def _pixtral_tower() -> hf.PixtralVisionConfig:
    return hf.PixtralVisionConfig(**TOWER | {"image_size": 56, "head_dim": 8})


def _pixtral_processor(tok: Any, patch_size: int, **settings: Any) -> hf.ProcessorMixin | None:
    if not is_torchvision_available():
        return None
    pixels = hf.PixtralImageProcessorPil(size={"longest_edge": 56}, patch_size=patch_size)
    chat = template("[INST]", "[IMG]", "[/INST]", "", "{{ bos_token }}")
    return hf.PixtralProcessor(pixels, tok, patch_size=14, chat_template=chat, **settings)


def mistral3() -> Family:
    tok = llama_tokenizer("[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]")
    config = hf.Mistral3Config(
        text_config=hf.MistralConfig(vocab_size=len(tok), **HEADED),
        vision_config=_pixtral_tower(),
        image_token_index=tok.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
        vision_feature_layer=-1,
    )
    processor = _pixtral_processor(tok, patch_size=28, spatial_merge_size=2)
    return Family(hf.Mistral3ForConditionalGeneration(config), processor)


def pixtral() -> Family:
    tok = llama_tokenizer("[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]")
    config = hf.LlavaConfig(
        text_config=hf.MistralConfig(vocab_size=len(tok), **HEADED),
        vision_config=_pixtral_tower(),
        image_token_index=tok.convert_tokens_to_ids("[IMG]"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    processor = _pixtral_processor(tok, patch_size=14)
    return Family(hf.LlavaForConditionalGeneration(config), processor)
