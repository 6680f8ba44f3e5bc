"""Tiny models of the other families, by transformers' own classes."""

from collections.abc import Callable
from typing import Any

import transformers as hf
from family_parts import (
    CAPPED,
    CHATML,
    GEMMA,
    HEADED,
    MERGED,
    SOFT_CAPS,
    TEXT,
    TOWER,
    WIDTH,
    Family,
    chatml_tokenizer,
    gemma_tokenizer,
    llama_tokenizer,
    template,
)

from feature_atlas.etl.inputs.processors import pictures_only


def _qwen_tokens(tok: Any) -> dict[str, int]:
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {setting: tok.convert_tokens_to_ids(token) for setting, token in names.items()}


def _qwen(cls: type, config: type, model: type, rope: dict[str, Any], text: dict[str, Any],
          tower: dict[str, Any], patch: int) -> Family:  # fmt: skip
    tok = chatml_tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    made = config(
        text_config=dict(vocab_size=len(tok), **text, rope_parameters=rope),
        vision_config=MERGED | tower | {"patch_size": patch},
        **_qwen_tokens(tok),
    )
    side = 2 * patch
    pixels = hf.Qwen2VLImageProcessorPil(
        patch_size=patch, merge_size=2,
        size={"shortest_edge": (2 * side) ** 2, "longest_edge": (3 * side) ** 2},
    )  # fmt: skip
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    chat = template(CHATML[0], picture, CHATML[1], CHATML[2])
    return Family(
        model(made), pictures_only(cls)(pixels, tok, video_processor=None, chat_template=chat)
    )


def qwen2_5_vl() -> Family:
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6}
    tower = {"depth": 2, "window_size": 56, "fullatt_block_indexes": [1]}
    return _qwen(
        hf.Qwen2_5_VLProcessor, hf.Qwen2_5_VLConfig, hf.Qwen2_5_VLForConditionalGeneration,
        rope, TEXT, tower, 14,
    )  # fmt: skip


def qwen3_vl() -> Family:
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 5e6}
    tower = {"depth": 3, "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]}
    return _qwen(
        hf.Qwen3VLProcessor, hf.Qwen3VLConfig, hf.Qwen3VLForConditionalGeneration,
        rope, HEADED, tower, 16,
    )  # fmt: skip


def gemma3() -> Family:
    named = {
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    }
    tok = gemma_tokenizer(*named.values(), **named)
    ids = {name: tok.convert_tokens_to_ids(token) for name, token in named.items()}
    config = hf.Gemma3Config(
        text_config=hf.Gemma3TextConfig(
            vocab_size=len(tok), **HEADED, **CAPPED,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        ),
        vision_config=hf.SiglipVisionConfig(vision_use_head=False, **TOWER | {"image_size": 56}),
        mm_tokens_per_image=4,
        boi_token_index=ids["boi_token"],
        eoi_token_index=ids["eoi_token"],
        image_token_index=ids["image_token"],
    )  # fmt: skip
    pixels = hf.Gemma3ImageProcessorPil(size={"height": 56, "width": 56})
    chat = template(GEMMA[0], "<start_of_image>", GEMMA[1], GEMMA[2], "{{ bos_token }}")
    processor = hf.Gemma3Processor(pixels, tok, chat_template=chat, image_seq_length=4)
    return Family(hf.Gemma3ForConditionalGeneration(config), processor)


def _paligemma(text: Callable[[int], hf.PreTrainedConfig]) -> Family:
    places = [f"<loc{i:04}>" for i in range(1024)] + [f"<seg{i:03}>" for i in range(128)]
    tok = gemma_tokenizer("<image>", *places, image_token="<image>")
    tower = hf.SiglipVisionConfig(vision_use_head=False, projection_dim=WIDTH, **TOWER)
    config = hf.PaliGemmaConfig(
        text_config=text(len(tok)),
        vision_config=tower,
        projection_dim=WIDTH,
        hidden_size=WIDTH,
        image_token_index=tok.convert_tokens_to_ids("<image>"),
    )
    pixels = hf.SiglipImageProcessorPil(size={"height": 28, "width": 28})
    pixels.image_seq_length = 4
    chat = template("", "<image>", "\n", "").replace("{{ c[", "{{ bos_token }}{{ c[")
    processor = hf.PaliGemmaProcessor(pixels, tok, chat_template=chat)
    return Family(hf.PaliGemmaForConditionalGeneration(config), processor)


def paligemma() -> Family:
    return _paligemma(lambda size: hf.GemmaConfig(vocab_size=size, **HEADED))


def paligemma2() -> Family:
    return _paligemma(
        lambda size: hf.Gemma2Config(vocab_size=size, **HEADED, **CAPPED, **SOFT_CAPS)
    )


_ROWS = [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
_CUT: dict[str, Any] = TOWER | {"patch_size": 7}


def idefics3() -> Family:
    specials = [
        "<end_of_utterance>",
        "<fake_token_around_image>",
        "<image>",
        "<global-img>",
        *_ROWS,
    ]
    tok = llama_tokenizer(*specials)
    config = hf.Idefics3Config(
        text_config=hf.LlamaConfig(vocab_size=len(tok), **HEADED, pad_token_id=tok.pad_token_id),
        vision_config=_CUT,
        scale_factor=2,
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        pad_token_id=tok.pad_token_id,
    )
    pixels = hf.Idefics3ImageProcessorPil(
        size={"longest_edge": 56}, max_image_size={"longest_edge": 28}
    )
    head = "{{ m['role']|capitalize }}:"
    chat = template(head, "<image>", "<end_of_utterance>\n", "Assistant:", "{{ bos_token }}")
    processor = hf.Idefics3Processor(pixels, tok, image_seq_len=4, chat_template=chat)
    return Family(hf.Idefics3ForConditionalGeneration(config), processor)


def smolvlm() -> Family:
    named = {
        "image_token": "<image>",
        "fake_image_token": "<fake_token_around_image>",
        "end_of_utterance_token": "<end_of_utterance>",
        "global_image_token": "<global-img>",
    }
    tok = chatml_tokenizer(*named.values(), *_ROWS, **named)
    config = hf.SmolVLMConfig(
        text_config=hf.LlamaConfig(vocab_size=len(tok), **HEADED, pad_token_id=tok.pad_token_id),
        vision_config=_CUT,
        scale_factor=2,
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        pad_token_id=tok.pad_token_id,
    )
    pixels = hf.SmolVLMImageProcessorPil(
        size={"longest_edge": 56}, max_image_size={"longest_edge": 28}
    )
    head = "<|im_start|>{{ m['role']|capitalize }}:"
    chat = template(head, "<image>", "<end_of_utterance>\n", "Assistant:")
    processor = pictures_only(hf.SmolVLMProcessor)(
        pixels, tok, video_processor=None, image_seq_len=4, chat_template=chat
    )
    return Family(hf.SmolVLMForConditionalGeneration(config), processor)


def internvl() -> Family:
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tok = chatml_tokenizer(*named.values(), **named)
    config = hf.InternVLConfig(
        text_config=hf.Qwen2Config(vocab_size=len(tok), **TEXT),
        vision_config=_CUT | {"image_size": [28, 28], "patch_size": [7, 7]},
        image_token_id=tok.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    pixels = hf.GotOcr2ImageProcessorPil(
        size={"height": 28, "width": 28}, crop_to_patches=True, min_patches=1, max_patches=4,
        do_resize=True,
    )  # fmt: skip
    chat = template(CHATML[0], "<IMG_CONTEXT>\n", CHATML[1], CHATML[2])
    processor = pictures_only(hf.InternVLProcessor)(
        pixels, tok, video_processor=None, image_seq_length=4, chat_template=chat
    )
    return Family(hf.InternVLForConditionalGeneration(config), processor)
