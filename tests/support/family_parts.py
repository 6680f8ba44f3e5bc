"""What tiny models of every family are made of: widths, chat templates, tokenizers."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import transformers as hf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

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


def llama_tokenizer(*further: str) -> hf.PreTrainedTokenizerFast:
    specials = ["<s>", "</s>", "<pad>", *further]
    return tokenizer(specials, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def gemma_tokenizer(*further: str, **named: Any) -> hf.PreTrainedTokenizerFast:
    specials = ["<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>", *further]
    return tokenizer(
        specials, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>",
        extra_special_tokens=named,
    )  # fmt: skip


def chatml_tokenizer(*further: str, **named: Any) -> hf.PreTrainedTokenizerFast:
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *further]
    return tokenizer(
        specials, eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens=named
    )
