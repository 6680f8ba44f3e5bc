"""The tokenizer, with a token for padding and one that stands for the picture.

The original marks pictures by an id outside the vocabulary (-200). transformers wants a token, and
writes the picture over its embedding: one that is reserved and was never used, or a new one in a
row of the embedding that has no token yet. A vocabulary with neither is refused: a new row of the
output matrix would take part in every softmax, and the model would not be the one that was tuned.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from transformers import (
    AddedToken,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

RESERVED = re.compile(
    r"<\|reserved_special_token_\d+\|>|<unused\d+>|<\|(?:dummy_|placeholder)\d+\|>"
)
PADDING = ("<|finetune_right_pad_id|>", "<pad>")
"""What language models reserve for padding, and LLaVA-MORE padded with."""


def read_tokenizer(source: Path) -> PreTrainedTokenizerBase:
    """As its `tokenizer.json` says; without one, what transformers makes of its other files."""
    if (source / "tokenizer.json").is_file():
        # not AutoTokenizer: a class named in tokenizer_config.json would rebuild parts of the file
        return PreTrainedTokenizerFast.from_pretrained(source)
    if not any(source.glob("tokenizer*")):
        raise FileNotFoundError(
            f"no tokenizer in {source}: expected tokenizer.json or tokenizer.model beside the "
            "weights; copy it from the language model that was tuned."
        )
    return AutoTokenizer.from_pretrained(source, use_fast=True)


def give_tokens(tokenizer: PreTrainedTokenizerBase, ends: Iterable[int], vocab_size: int) -> str:
    """Give it a token for padding that is neither BOS nor ends a reply; return the picture's."""
    image = _free_token(tokenizer, "<image>", vocab_size)
    token = AddedToken(image, special=True, normalized=False)
    tokenizer.add_special_tokens(
        {"extra_special_tokens": [token]}, replace_extra_special_tokens=False
    )
    _require_a_row(tokenizer, image, vocab_size)
    taken = {tokenizer.bos_token_id, tokenizer.eos_token_id, *ends}
    vocabulary = tokenizer.get_vocab()
    own = [
        name
        for name in (*PADDING, tokenizer.pad_token)
        if name in vocabulary and vocabulary[name] not in taken
    ]
    pad = own[0] if own else _free_token(tokenizer, "<|pad|>", vocab_size, image)
    tokenizer.add_special_tokens({"pad_token": AddedToken(pad, special=True, normalized=False)})
    _require_a_row(tokenizer, pad, vocab_size)
    return image


def _free_token(
    tokenizer: PreTrainedTokenizerBase, new: str, vocab_size: int, used: str = ""
) -> str:
    """The last reserved token that is not used, or a new one."""
    reserved = {
        i: name
        for name, i in tokenizer.get_vocab().items()
        if RESERVED.fullmatch(name) and i < vocab_size and name != used
    }
    return reserved[max(reserved)] if reserved else new


def _require_a_row(tokenizer: PreTrainedTokenizerBase, token: str, vocab_size: int) -> None:
    if tokenizer.convert_tokens_to_ids(token) >= vocab_size:
        raise ValueError(
            f"no token is free for {token}: the tokenizer has {len(tokenizer) - 1} tokens for "
            f"{vocab_size} rows of the embedding, and none of them is reserved. A new row would "
            "change the model's probabilities: use a checkpoint that is in transformers' layout "
            "already."
        )


def require_same_tokens(tokenizer: PreTrainedTokenizerBase, prompt: str, image_token: str) -> None:
    """A prompt with the image token has the ids of the original, which splices at `<image>`.

    The original tokenises what is before and after the picture apart. A tokenizer that puts a blank
    before each text, and not after a special token, would read the question differently.
    """
    before, after = tokenizer(prompt.split(image_token), add_special_tokens=False).input_ids
    whole = tokenizer(prompt, add_special_tokens=False).input_ids
    if whole != [*before, tokenizer.convert_tokens_to_ids(image_token), *after]:
        read, alone = (
            tokenizer.convert_ids_to_tokens(ids) for ids in (whole[len(before) + 1 :], after)
        )
        raise ValueError(
            f"the tokenizer reads {prompt.split(image_token)[1]!r} after the image token as "
            f"{read}, and alone, as the original does, as {alone}: the converted model would read "
            "other tokens than the one that was tuned."
        )
