"""Prompts as tokens, each with its role: tokenised once, checked against the template (3.1)."""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor
from transformers import ProcessorMixin


class Role(IntEnum):
    """What a token is for. Stored as int8; the order is the order in a prompt."""

    PAD = -1
    BOS = 0
    PREFIX = 1
    """Template text before the image or question: the same in every sample, being causal."""
    IMAGE = 2
    QUESTION = 3
    SUFFIX = 4
    """Constant instruction after the question ("Answer the question using a single word...")."""
    HEADER = 5
    """The assistant header that ends the prompt; the answer is predicted at its last token."""
    ANSWER = 6


TEXT_ROLES = (Role.QUESTION, Role.SUFFIX, Role.HEADER)
"""The sample-dependent text: what statistics count unless told otherwise."""


class PromptBatch(NamedTuple):
    """Prompts of one batch, right padded."""

    input_ids: Int[Tensor, "batch token"]
    """Token ids; image placeholders already expanded to one id per patch."""
    attention_mask: Int[Tensor, "batch token"]
    """1 on tokens, 0 on padding."""
    roles: Int[Tensor, "batch token"]
    """A Role per token, -1 on padding."""
    pixel_values: Float[Tensor, "batch channel height width"] | None
    """Preprocessed images, or None for prompts without an image."""

    def to(self, device: torch.device | str) -> "PromptBatch":
        """The same batch on another device."""
        return PromptBatch(*(None if t is None else t.to(device) for t in self))


DATE = "26 Jul 2024"
"""What a chat template that writes a date writes: today's would change every activation daily."""


def render_prompt(processor: ProcessorMixin, question: str, *, has_image: bool) -> str:
    """One user turn in the model's own chat template, ending with the assistant header."""
    content: list[dict[str, str]] = [{"type": "image"}] if has_image else []
    content.append({"type": "text", "text": question})
    return processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=False,
        **({"date_string": DATE} if "date_string" in chat_template(processor) else {}),
    )


def chat_template(processor: ProcessorMixin) -> str:
    """The template that prompts are written with; the processor's, or else the tokenizer's."""
    template = processor.chat_template or processor.tokenizer.chat_template
    if isinstance(template, dict):
        template = template["default"]
    if not template:
        raise ValueError(
            f"{type(processor).__name__} has no chat template: expected one beside the model "
            "(chat_template.jinja), or prompts would not be those it was trained on."
        )
    return str(template)


def encode_prompts(
    processor: ProcessorMixin,
    questions: Sequence[str],
    images: Sequence[Image.Image] | None = None,
    *,
    suffix: str = "",
) -> PromptBatch:
    """Tokenise questions (with one image each, or none) and give every token its role.

    ``suffix`` is appended to each question after a newline and has a role of its own. The chat
    template brings the BOS, so nothing is added by the tokenizer; exactly one BOS and the right
    number of image tokens are asserted, since either mistake changes every activation silently.
    """
    if images is not None and len(images) != len(questions):
        raise ValueError(
            f"{len(images)} images for {len(questions)} questions: pass one each, or no images."
        )
    full = [f"{q}\n{suffix}" if suffix else q for q in questions]
    texts = [render_prompt(processor, q, has_image=images is not None) for q in full]
    pixels, n_patches = None, 0
    if images is not None:
        pixels = processor.image_processor(images=list(images), return_tensors="pt")["pixel_values"]
        n_patches = _n_image_tokens(processor, pixels)
        tokens = processor.image_token * n_patches
        texts = [text.replace(processor.image_token, tokens, 1) for text in texts]
    encoded = processor.tokenizer(
        texts,
        add_special_tokens=False,
        padding=True,
        padding_side="right",
        return_offsets_mapping=True,
        return_tensors="pt",
    )
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    _require_one_bos(processor, ids)
    image_token = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
    _require_image_tokens(ids == image_token, n_patches, texts)
    roles = torch.stack(
        [
            _roles(
                texts[i], questions[i], suffix, encoded["offset_mapping"][i], ids[i] == image_token
            )
            for i in range(len(texts))
        ]
    )
    bos = processor.tokenizer.bos_token_id
    roles[ids == bos] = Role.BOS
    return PromptBatch(ids, mask, roles.masked_fill(mask == 0, Role.PAD), pixels)


def _n_image_tokens(processor: ProcessorMixin, pixels: Tensor) -> int:
    """How often the placeholder stands for one picture: once per patch, as the processor counts."""
    height, width = pixels.shape[-2:]
    n_patches = (height // processor.patch_size) * (width // processor.patch_size)
    n_tokens = n_patches + processor.num_additional_image_tokens
    if processor.vision_feature_select_strategy == "default":
        n_tokens -= 1  # the CLS token is dropped
    return n_tokens


def _require_image_tokens(
    is_image: Bool[Tensor, "batch token"], expected: int, texts: Sequence[str]
) -> None:
    """A template without the placeholder, or a question that holds one, would go unnoticed."""
    n_found = is_image.sum(1)
    for row in (n_found != expected).nonzero().flatten().tolist():
        raise ValueError(
            f"a prompt has {int(n_found[row])} image tokens, expected {expected}: the chat "
            "template must write the placeholder once for a picture, and no question may hold "
            f"it; the prompt begins {texts[row][:200]!r} and ends {texts[row][-100:]!r}."
        )


def constant_prefix(batch: PromptBatch) -> Int[Tensor, " token"]:
    """Ids of the template's text before image and question: in every prompt the same, or an error.

    Being causal, their residuals are then the same in every sample, and say nothing of any.
    """
    is_prefix = (batch.roles == Role.BOS) | (batch.roles == Role.PREFIX)
    lengths = is_prefix.long().cumprod(1).sum(1)
    first = batch.input_ids[0, : lengths[0]]
    for row, length in enumerate(lengths.tolist()):
        if not torch.equal(batch.input_ids[row, :length], first):
            raise ValueError(
                f"prompt {row} of a batch begins with other template text than the first "
                f"({length} and {len(first)} tokens before image and question): expected a "
                "constant prefix. Take what changes (a date, a counter) out of the chat template."
            )
    return first


def _require_one_bos(processor: ProcessorMixin, ids: Int[Tensor, "batch token"]) -> None:
    n_bos = (ids == processor.tokenizer.bos_token_id).sum(1)
    if (n_bos != 1).any():
        raise ValueError(
            f"a prompt has {int(n_bos[n_bos != 1][0])} BOS tokens, expected exactly one: "
            "let the chat template write it and tokenise with add_special_tokens=False."
        )


def _roles(
    text: str,
    question: str,
    suffix: str,
    offsets: Int[Tensor, "token 2"],
    is_image: Tensor,
) -> Int[Tensor, " token"]:
    """Roles of one prompt from where each token's characters lie in it."""
    start = text.rfind(question + (f"\n{suffix}" if suffix else ""))
    if start < 0:
        raise ValueError(
            f"the chat template changed the question {question!r}: it is not in the prompt "
            f"{text!r}; expected the text unaltered (strip leading and trailing spaces)."
        )
    question_end = start + len(question)
    suffix_end = question_end + (len(suffix) + 1 if suffix else 0)
    first = offsets[:, 0]
    roles = torch.full_like(first, Role.PREFIX)
    roles[first >= start] = Role.QUESTION
    roles[first >= question_end] = Role.SUFFIX
    roles[first >= suffix_end] = Role.HEADER
    roles[is_image] = Role.IMAGE
    # A newline between image and question belongs to neither; it depends on the image.
    if is_image.any():
        after_image = is_image.cumsum(0) == is_image.sum()
        roles[(roles == Role.PREFIX) & after_image] = Role.QUESTION
    return roles
