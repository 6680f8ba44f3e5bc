"""A tiny random model and processor of every family, by transformers' own classes.

Widths are small and weights large, so that a wrong mask, position or cap changes a residual by
percents. The vocabulary is the tiny world's; special tokens and templates are each family's.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
import transformers as hf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers.utils import is_torchvision_available

from feature_atlas.etl.inputs.processors import pictures_only
from feature_atlas.vlm.residual_stream import freeze

N_LAYERS, WIDTH = 3, 32
WORDS = ("is", "the", "red", "circle", "left", "of", "blue", "square", "yes", "no", "how", "many")
TEXT: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
}
HEADED = TEXT | {"head_dim": 8}
TOWER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "initializer_range": 0.3,
}
MERGED: dict[str, Any] = {
    "hidden_size": 16,
    "out_hidden_size": WIDTH,
    "intermediate_size": 32,
    "num_heads": 2,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "in_channels": 3,
}
CAPPED = {"query_pre_attn_scalar": 8, "sliding_window": 6}
SOFT_CAPS = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}

_LOOP = (
    "{% for m in messages %}%HEAD%{% for c in m['content'] %}{% if c['type'] == 'image' %}%IMAGE%"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}%TAIL%{% endfor %}%ASK%"
)


def template(head: str, image: str, tail: str, ask: str, begin: str = "") -> str:
    """A chat template: what begins and ends a turn, a picture, and the assistant's header."""
    ask = f"{{% if add_generation_prompt %}}{ask}{{% endif %}}" if ask else ""
    parts = {"HEAD": head, "IMAGE": image, "TAIL": tail, "ASK": ask}
    written = _LOOP
    for name, part in parts.items():
        written = written.replace(f"%{name}%", part)
    return begin + written


CHATML = ("<|im_start|>{{ m['role'] }}\n", "<|im_end|>\n", "<|im_start|>assistant\n")
GEMMA = (
    "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n",
    "<end_of_turn>\n",
    "<start_of_turn>model\n",
)


class Family(NamedTuple):
    """A model and the processor of its prompts."""

    model: hf.PreTrainedModel
    processor: hf.ProcessorMixin | None
    """None where its class needs torchvision, and that is not there."""


def tokenizer(specials: Iterable[str], **named: Any) -> hf.PreTrainedTokenizerFast:
    """Bytes, some words, and special tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([" ".join(WORDS)] * 20, trainer)
    made.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    return hf.PreTrainedTokenizerFast(tokenizer_object=made, **named)


def _llama_tokenizer(*further: str) -> hf.PreTrainedTokenizerFast:
    specials = ["<s>", "</s>", "<pad>", *further]
    return tokenizer(specials, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def _gemma_tokenizer(*further: str, **named: Any) -> hf.PreTrainedTokenizerFast:
    specials = ["<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>", *further]
    return tokenizer(
        specials, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>",
        extra_special_tokens=named,
    )  # fmt: skip


def _chatml_tokenizer(*further: str, **named: Any) -> hf.PreTrainedTokenizerFast:
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *further]
    return tokenizer(
        specials, eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens=named
    )


def _pictures_only(cls: type, *parts: Any, **settings: Any) -> hf.ProcessorMixin:
    """A processor without its video half, which needs torchvision."""
    return pictures_only(cls)(*parts, **settings)


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
    tok = _llama_tokenizer("<image>")
    chat = template(VICUNA[0], "<image>\n", VICUNA[1], VICUNA[2], "{{ bos_token }}")
    return _llava(hf.LlamaConfig(vocab_size=len(tok), **HEADED), tok, chat)


def llava_mistral() -> Family:
    tok = _llama_tokenizer("<image>", "[INST]", "[/INST]")
    text = hf.MistralConfig(vocab_size=len(tok), **HEADED, sliding_window=6)
    return _llava(text, tok, template("[INST]", "<image>\n", "[/INST]", "", "{{ bos_token }}"))


def llava_qwen() -> Family:
    tok = _chatml_tokenizer("<image>")
    text = hf.Qwen2Config(vocab_size=len(tok), **TEXT)
    return _llava(text, tok, template(CHATML[0], "<image>\n", CHATML[1], CHATML[2]))


def llava_phi() -> Family:
    tok = _llama_tokenizer("<image>")
    chat = template(VICUNA[0], "<image>\n", VICUNA[1], VICUNA[2], "{{ bos_token }}")
    return _llava(hf.PhiConfig(vocab_size=len(tok), **TEXT), tok, chat)


def llava_gemma2() -> Family:
    tok = _gemma_tokenizer("<image>")
    text = hf.Gemma2Config(vocab_size=len(tok), **HEADED, **CAPPED, **SOFT_CAPS)
    return _llava(text, tok, template(GEMMA[0], "<image>\n", GEMMA[1], GEMMA[2], "{{ bos_token }}"))


def llava_granite() -> Family:
    tok = _llama_tokenizer("<image>")
    text = hf.GraniteConfig(
        vocab_size=len(tok), **TEXT, embedding_multiplier=3.0, attention_multiplier=0.5,
        residual_multiplier=0.7, logits_scaling=2.0,
    )  # fmt: skip
    chat = template(VICUNA[0], "<image>\n", VICUNA[1], VICUNA[2], "{{ bos_token }}")
    return _llava(text, tok, chat)


def llava_next() -> Family:
    tok = _llama_tokenizer("<image>")
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
    tok = _chatml_tokenizer("<image>", "<video>")
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
    processor = _pictures_only(
        hf.LlavaOnevisionProcessor, pixels, tok, num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=template(CHATML[0], "<image>\n", CHATML[1], CHATML[2]),
    )  # fmt: skip
    return Family(hf.LlavaOnevisionForConditionalGeneration(config), processor)


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
    tok = _chatml_tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
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
    return Family(model(made), _pictures_only(cls, pixels, tok, chat_template=chat))


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
    tok = _gemma_tokenizer(*named.values(), **named)
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
    tok = _gemma_tokenizer("<image>", *places, image_token="<image>")
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
    tok = _llama_tokenizer(*specials)
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
    tok = _chatml_tokenizer(*named.values(), *_ROWS, **named)
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
    processor = _pictures_only(
        hf.SmolVLMProcessor, pixels, tok, image_seq_len=4, chat_template=chat
    )
    return Family(hf.SmolVLMForConditionalGeneration(config), processor)


def internvl() -> Family:
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tok = _chatml_tokenizer(*named.values(), **named)
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
    processor = _pictures_only(
        hf.InternVLProcessor, pixels, tok, image_seq_length=4, chat_template=chat
    )
    return Family(hf.InternVLForConditionalGeneration(config), processor)


def _pixtral_tower() -> hf.PixtralVisionConfig:
    return hf.PixtralVisionConfig(**TOWER | {"image_size": 56, "head_dim": 8})


def _pixtral_processor(tok: Any, patch_size: int, **settings: Any) -> hf.ProcessorMixin | None:
    if not is_torchvision_available():
        return None
    pixels = hf.PixtralImageProcessorPil(size={"longest_edge": 56}, patch_size=patch_size)
    chat = template("[INST]", "[IMG]", "[/INST]", "", "{{ bos_token }}")
    return hf.PixtralProcessor(pixels, tok, patch_size=14, chat_template=chat, **settings)


def mistral3() -> Family:
    tok = _llama_tokenizer("[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]")
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
    tok = _llama_tokenizer("[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]")
    config = hf.LlavaConfig(
        text_config=hf.MistralConfig(vocab_size=len(tok), **HEADED),
        vision_config=_pixtral_tower(),
        image_token_index=tok.convert_tokens_to_ids("[IMG]"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    processor = _pixtral_processor(tok, patch_size=14)
    return Family(hf.LlavaForConditionalGeneration(config), processor)


FAMILIES: dict[str, Callable[[], Family]] = {
    made.__name__: made
    for made in (
        llava, llava_mistral, llava_qwen, llava_phi, llava_gemma2, llava_granite, llava_next,
        llava_onevision, qwen2_5_vl, qwen3_vl, gemma3, paligemma, paligemma2, idefics3, smolvlm,
        internvl, mistral3, pixtral,
    )
}  # fmt: skip


def family(name: str, seed: int = 0) -> Family:
    """A family's model, random by a seed, frozen, in float32."""
    torch.manual_seed(seed)
    model, processor = FAMILIES[name]()
    for weight in model.parameters():
        if weight.ndim > 1 and not weight.any():  # as Gemma 3 begins: a picture would be nothing
            torch.nn.init.normal_(weight, std=0.3)
    return Family(freeze(model.float()), processor)
