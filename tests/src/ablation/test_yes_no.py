"""The answer, in every form a tokenizer has for it."""

import math

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from feature_atlas.ablation.yes_no import AnswerIds, yes_no_ids, yes_no_margin


def word_tokenizer(words: str, *, lowercase: bool) -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(["<unk>", *words.split()])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    if lowercase:
        backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = (
        pre_tokenizers.Metaspace() if not lowercase else pre_tokenizers.Whitespace()
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


def test_every_surface_form_the_tokenizer_knows_is_counted() -> None:
    one_form = word_tokenizer("yes no", lowercase=True)
    many_forms = word_tokenizer("▁yes ▁Yes ▁YES ▁no ▁No", lowercase=False)

    assert yes_no_ids(one_form) == ([1], [2])
    assert yes_no_ids(many_forms) == ([1, 2, 3], [4, 5])
    with pytest.raises(ValueError, match=r"'true' -> \[\]"):
        yes_no_ids(one_form, "true", "no")


def test_the_margin_sums_the_probability_of_all_forms() -> None:
    probabilities = torch.tensor([[0.1, 0.2, 0.4, 0.3]])

    margin = yes_no_margin(probabilities.log(), AnswerIds(yes=[1, 2], no=[3]))

    assert margin.item() == pytest.approx(math.log(0.6 / 0.3))
