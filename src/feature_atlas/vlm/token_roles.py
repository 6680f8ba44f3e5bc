"""Prompts as tokens, each with its role: tokenised once, checked against the template (3.1)."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from jaxtyping import Bool, Int
from PIL import Image
from torch import Tensor

from feature_atlas.vlm.chat_template import common_start, render_prompt
from feature_atlas.vlm.image_rows import ImageFeatures
from feature_atlas.vlm.processor_call import Processed, call_processor, image_token_id

if TYPE_CHECKING:  # importing transformers' classes takes some seconds
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
    MARKER = 7
    """What a processor writes around and between the pieces of a picture."""


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
    processed: Mapping[str, Tensor] = {}
    """What else the processor returned, as the model's forward takes it: pixels, sizes, types."""
    features: ImageFeatures | None = None
    """What stands for the pictures, where it is known; then their pixels may be left out."""

    @property
    def has_pictures(self) -> bool:
        """Whether each prompt has a picture."""
        return self.features is not None or "pixel_values" in self.processed

    def twice(self) -> "PromptBatch":
        """The same prompts once more behind themselves."""
        ids, mask, roles = (torch.cat([t, t]) for t in self[:3])
        processed = {n: torch.cat([t, t]) for n, t in self.processed.items()}
        features = self.features and self.features.and_then(self.features)
        return PromptBatch(ids, mask, roles, processed, features)

    def to(self, device: torch.device | str) -> "PromptBatch":
        """The same batch on another device."""
        ids, mask, roles = (t.to(device) for t in self[:3])
        processed = {n: t.to(device) for n, t in self.processed.items()}
        return PromptBatch(ids, mask, roles, processed, self.features and self.features.to(device))


def encode_prompts(
    processor: "ProcessorMixin",
    questions: Sequence[str],
    images: Sequence[Image.Image] | None = None,
    *,
    suffix: str = "",
) -> PromptBatch:
    """Tokenise questions (with one image each, or none) and give every token its role.

    ``suffix`` is appended to each question after a newline and has a role of its own. The chat
    template brings the BOS, so nothing is added by the tokenizer; exactly one BOS (where there is
    such a token), one placeholder and a header are asserted: each mistake changes every activation
    silently.
    """
    if images is not None and len(images) != len(questions):
        raise ValueError(
            f"{len(images)} images for {len(questions)} questions: pass one each, or no images."
        )
    full = [f"{q}\n{suffix}" if suffix else q for q in questions]
    texts = [render_prompt(processor, q, has_image=images is not None) for q in full]
    _require_placeholder(processor, texts, has_image=images is not None)
    made = _with_one_bos(processor, texts, images)
    ids, mask = made.tensors.pop("input_ids"), made.tensors.pop("attention_mask")
    is_image = ids == image_token_id(processor)
    roles = torch.stack(
        [
            _roles(texts[i], made.texts[i], questions[i], suffix, made.offsets[i], is_image[i])
            for i in range(len(texts))
        ]
    )
    if (bos := _bos(processor)) is not None:
        roles[ids == bos] = Role.BOS
    roles = roles.masked_fill(mask == 0, Role.PAD)
    _require_header(roles, made.texts)
    return PromptBatch(ids, mask, roles, made.tensors)


def _require_placeholder(
    processor: "ProcessorMixin", texts: Sequence[str], *, has_image: bool
) -> None:
    """A template without the placeholder, or a question that holds one, would go unnoticed."""
    for text in texts:
        n_found = text.count(processor.image_token)
        if n_found != has_image:
            raise ValueError(
                f"a prompt has {n_found} placeholders {processor.image_token!r} for a picture, "
                f"expected {int(has_image)}: the chat template must write one for each picture, "
                f"and no question may hold it; the prompt begins {text[:200]!r} and ends "
                f"{text[-100:]!r}."
            )


def _with_one_bos(
    processor: "ProcessorMixin", texts: Sequence[str], images: Sequence[Image.Image] | None
) -> Processed:
    """The processor's tensors; where template and processor both write BOS, the processor's."""
    made = call_processor(processor, texts, images)
    bos = _bos(processor)
    if bos is None:
        return made
    written = processor.tokenizer.bos_token
    if all(text.count(written) == 1 for text in texts) and (_n_bos(made, bos) == 2).all():
        bare = [text.replace(written, "") for text in texts]
        made = call_processor(processor, bare, images)
    n_bos = _n_bos(made, bos)
    if (n_bos != 1).any():
        raise ValueError(
            f"a prompt has {int(n_bos[n_bos != 1][0])} BOS tokens, expected exactly one: "
            "let the chat template write it and tokenise with add_special_tokens=False."
        )
    return made


def _n_bos(made: Processed, bos: int) -> Int[Tensor, " batch"]:
    """Padding may be written with the same token, and is not counted."""
    return ((made.tensors["input_ids"] == bos) & (made.tensors["attention_mask"] == 1)).sum(1)


def _bos(processor: "ProcessorMixin") -> int | None:
    """None: this tokenizer has no such token, as Qwen's."""
    return cast(int | None, processor.tokenizer.bos_token_id)


def _require_header(roles: Int[Tensor, "batch token"], texts: Sequence[str]) -> None:
    for row in (~(roles == Role.HEADER).any(1)).nonzero().flatten().tolist():
        raise ValueError(
            f"a prompt ends with its question, {texts[row][-60:]!r}: expected the header after "
            "which the assistant answers; let the chat template write it when "
            "add_generation_prompt is set."
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


def _roles(
    rendered: str,
    tokenised: str,
    question: str,
    suffix: str,
    offsets: Int[Tensor, "token 2"],
    is_image: Bool[Tensor, " token"],
) -> Int[Tensor, " token"]:
    """Roles of one prompt: a token is the question's if it holds one of its characters."""
    start = tokenised.rfind(question + (f"\n{suffix}" if suffix else ""))
    if start < 0 or not question:
        raise ValueError(
            f"the chat template changed the question {question!r}: it is not in the prompt "
            f"{tokenised!r}; expected the text unaltered (strip leading and trailing spaces)."
        )
    question_end = start + len(question)
    start = len(tokenised[:start].rstrip(" "))  # some tokenizers join a blank to the word behind it
    suffix_end = question_end + (len(suffix) + 1 if suffix else 0)
    first, end = offsets.unbind(1)
    roles = torch.full_like(first, Role.PREFIX)
    roles[end > suffix_end] = Role.HEADER
    roles[(first < suffix_end) & (end > question_end)] = Role.SUFFIX
    roles[(first < question_end) & (end > start)] = Role.QUESTION
    roles[is_image] = Role.IMAGE
    if is_image.any():
        _mark(roles, rendered, tokenised, first)
    return roles


def _mark(
    roles: Int[Tensor, " token"], rendered: str, tokenised: str, first: Int[Tensor, " token"]
) -> None:
    """Template text about the picture: what the processor wrote is its own, the rest depends on it.

    A newline between image and question belongs to neither, and counts with the question.
    """
    n_same, n_same_end = (
        common_start(rendered, tokenised),
        common_start(rendered[::-1], tokenised[::-1]),
    )
    places = (roles == Role.IMAGE).nonzero().flatten()
    token = torch.arange(len(roles), device=roles.device)
    is_template = roles == Role.PREFIX
    is_written = (first >= n_same) & (first < len(tokenised) - n_same_end)
    is_between = (token > places[0]) & (token < places[-1])
    roles[is_template & (token > places[-1])] = Role.QUESTION
    roles[is_template & (is_written | is_between)] = Role.MARKER
