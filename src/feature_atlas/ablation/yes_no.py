"""How sure a model is of yes against no (paper 5.3, D).

The answer to a yes/no question is read from the logits at the last token of the prompt, over every
way the tokenizer can begin it:

    margin = logsumexp(yes logits) - logsumexp(no logits),     yes when above 0
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase


class AnswerIds(NamedTuple):
    """First tokens of the two answers."""

    yes: list[int]
    """Ids of "yes", "Yes", " yes", ... as far as the tokenizer has them as one token."""
    no: list[int]
    """Likewise for "no"."""


def yes_no_ids(tokenizer: PreTrainedTokenizerBase, yes: str = "yes", no: str = "no") -> AnswerIds:
    """Every single token that begins either answer, in any case, with or without a space before."""
    ids = AnswerIds(surface_ids(tokenizer, yes), surface_ids(tokenizer, no))
    if not ids.yes or not ids.no or set(ids.yes) & set(ids.no):
        raise ValueError(
            f"answers {yes!r} -> {ids.yes} and {no!r} -> {ids.no}: expected at least one token "
            "for each and none for both, since answers are read from the first token: with this "
            "tokenizer statements cannot be asked about."
        )
    return ids


def surface_ids(tokenizer: PreTrainedTokenizerBase, word: str) -> list[int]:
    """The word as a token of its own, in any case, with or without a space before."""
    cased = (word.lower(), word.capitalize(), word.upper())
    forms = [space + form for form in cased for space in ("", " ")]
    encoded = [tokenizer(form, add_special_tokens=False)["input_ids"] for form in forms]
    return sorted({ids[0] for ids in encoded if len(ids) == 1} - {tokenizer.unk_token_id})


def yes_no_margin(
    last_logits: Float[Tensor, "batch vocabulary"], answers: AnswerIds
) -> Float[Tensor, " batch"]:
    """logsumexp(yes) - logsumexp(no); above 0 is yes, and its sigmoid the probability of yes."""
    scores = last_logits.to(torch.promote_types(last_logits.dtype, torch.float32))
    return scores[:, answers.yes].logsumexp(-1) - scores[:, answers.no].logsumexp(-1)
