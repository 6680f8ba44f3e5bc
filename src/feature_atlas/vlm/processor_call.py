"""A processor called as it is: its tensors whole, and the text that it really tokenised (3.1).

Each family's processor has its own way of writing a picture into the text. What it hands its
tokenizer is listened to, so that every token can be traced to its characters.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:  # importing transformers' classes takes some seconds
    from transformers import BatchEncoding, PreTrainedTokenizerBase, ProcessorMixin


class Processed(NamedTuple):
    """What a processor made of some prompts, right padded."""

    tensors: dict[str, Tensor]
    """input_ids, attention_mask, and whatever else the model's forward takes."""
    texts: list[str]
    """The prompts as they were tokenised, pictures written out."""
    offsets: Int[Tensor, "batch token 2"]
    """Where each token's characters begin and end in its text; 0, 0 for padding."""


class _Listener:
    """A tokenizer that remembers what it was asked and where each token lies."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        self.tokenizer = tokenizer
        self.texts: list[str] = []
        self.offsets: Any = None

    def __call__(self, text: list[str] | None = None, **settings: Any) -> "BatchEncoding":
        encoded = self.tokenizer(text, **{**settings, "return_offsets_mapping": True})
        self.texts, self.offsets = list(text or []), encoded.pop("offset_mapping")
        return cast("BatchEncoding", encoded)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)


def call_processor(
    processor: "ProcessorMixin", texts: Sequence[str], images: Sequence[Image.Image] | None
) -> Processed:
    """Tensors of prompts with one picture each, or none; the template has written BOS already."""
    tokenizer = processor.tokenizer
    listener = _Listener(tokenizer)
    processor.tokenizer = listener
    try:
        if images is None and _needs_pictures(processor):
            ended = [f"{text}\n" for text in texts]  # as its processor ends a prompt
            made = listener(ended, return_token_type_ids=True, **_SETTINGS)
        else:
            pictures = None if images is None else [[image] for image in images]
            made = processor(text=list(texts), images=pictures, **_SETTINGS)
    finally:
        processor.tokenizer = tokenizer
    tensors = {n: t for n, t in made.items() if isinstance(t, Tensor) and n != "labels"}
    return Processed(tensors, listener.texts, torch.as_tensor(listener.offsets))


_SETTINGS = {
    "padding": True,
    "padding_side": "right",
    "add_special_tokens": False,
    "return_tensors": "pt",
}


def _needs_pictures(processor: "ProcessorMixin") -> bool:
    """PaliGemma's refuses text alone, which its model takes."""
    return type(processor).__name__ == "PaliGemmaProcessor"


def image_token_id(processor: "ProcessorMixin") -> int:
    """Id of the token in whose place a picture's features stand."""
    known = getattr(processor.tokenizer, "image_token_id", None)
    if known is None:
        known = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    return int(known)


def require_processor(processor: "ProcessorMixin") -> None:
    """A processor that can make prompts of one picture and one question, padded."""
    name, tokenizer = type(processor).__name__, getattr(processor, "tokenizer", None)
    if tokenizer is None or getattr(processor, "image_processor", None) is None:
        raise ValueError(
            f"{name} beside the model prepares no pictures and texts together: expected "
            "processor_config.json or preprocessor_config.json and the tokenizer's files."
        )
    if not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} does not say where its tokens lie in the text: expected "
            "a fast tokenizer (tokenizer.json); save it once with transformers' fast class."
        )
    if tokenizer.pad_token_id is None:
        raise ValueError(
            f"{type(tokenizer).__name__} has no padding token, and prompts of one batch differ in "
            "length: set pad_token in tokenizer_config.json to an unused special token (Llama 3: "
            "<|finetune_right_pad_id|>)."
        )
    if getattr(processor, "patch_size", 0) is None:
        raise ValueError(
            f"{name} has patch_size null, and cannot say how many tokens a picture takes: set it "
            "in processor_config.json to the vision tower's (CLIP-L/14: 14)."
        )
