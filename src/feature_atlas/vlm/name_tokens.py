"""Which token of a question ends a name: by then the model has read all of it."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from feature_atlas.vlm.token_roles import PromptBatch, Role


class Named(NamedTuple):
    """A name in a question."""

    name: str
    """As it was asked for."""
    token: int
    """Place in the prompt of the token that has its last letter."""


def name_tokens(
    tokenizer: PreTrainedTokenizerBase, batch: PromptBatch, row: int, names: Sequence[str]
) -> list[Named]:
    """The first mention of each name in the question of a prompt, in the order of the sentence.

    A name that stands inside a longer one of them ("dog" in "hot dog") is not meant there. What is
    not found is left out.
    """
    places = (batch.roles[row] == Role.QUESTION).nonzero().flatten().tolist()
    ids = batch.input_ids[row][places].tolist()
    ends = [len(_text(tokenizer, ids[: n + 1])) for n in range(len(ids))]
    known = {name.casefold(): name for name in names}
    longest_first = sorted(known, key=len, reverse=True)
    pattern = rf"\b({'|'.join(map(re.escape, longest_first))})\b"
    found: dict[str, Named] = {}
    for match in re.finditer(pattern, _text(tokenizer, ids), re.IGNORECASE) if names else ():
        token = next(place for place, end in zip(places, ends, strict=True) if end >= match.end())
        name = known[match[0].casefold()]
        found.setdefault(name, Named(name, token))
    return list(found.values())


def _text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    decoded = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    assert isinstance(decoded, str)
    return decoded
