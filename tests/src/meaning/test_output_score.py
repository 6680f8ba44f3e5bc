"""The output score against its formula in numpy, and on planted directions beside chance."""

from functools import partial

import numpy as np
import pytest
import torch
from plain_inputs import plain
from random_llama import D_MODEL, LAYER, N_LAYERS, random_llama, runs, unit_rows

from feature_atlas.ablation.ablation import edited_logits
from feature_atlas.ablation.intervention import addition
from feature_atlas.features.logit_effect import logit_effect
from feature_atlas.meaning.output_score import (
    Said,
    joined,
    output_score,
    said,
    words_of_description,
)
from feature_atlas.vlm.residual_stream import edit_residual, logits
from feature_atlas.vlm.unembedding import unembedding

PICTURES = np.array([0, 0, 1, 1, 2, 2])


def test_by_hand() -> None:
    """Of .1 .2 .3 .4 the best of {.2, .3} is .3, and one is likelier: (1 - 1/4) 0.3."""
    found = said(torch.tensor([[0.1, 0.2, 0.3, 0.4]]).log() + 7, [1, 2])

    assert found.score.tolist() == pytest.approx([0.225])
    assert np.exp(found.log_probability).tolist() == pytest.approx([0.5])


def test_as_in_the_papers_own_words() -> None:
    """Every token sorted by its probability, and the ranks of all of T looked up."""
    logits, tokens = np.random.default_rng(0).normal(size=(6, 40)) * 3, [3, 17, 39]
    expected = []
    for row in logits:
        chances = np.exp(row) / np.exp(row).sum()
        order = list(np.argsort(-chances))
        best_rank = min(order.index(token) for token in tokens)
        expected.append((1 - best_rank / 40) * chances[tokens].max())

    assert said(torch.tensor(logits), tokens).score == pytest.approx(expected)


def test_means_and_gains_beyond_the_controls() -> None:
    before = Said(np.full(6, 0.1), np.log(np.full(6, 0.2)))
    after = Said(np.linspace(0.5, 0.6, 6), np.log(np.full(6, 0.8)))
    controls = [
        Said(np.full(6, 0.1), np.log(np.full(6, 0.1))),
        Said(np.full(6, 0.3), np.log(np.full(6, 0.4))),
    ]

    found = output_score(before, after, controls, PICTURES)

    assert found.output_score == pytest.approx(0.55)
    assert found.output_score_before == pytest.approx(0.1)
    assert found.output_score_control == pytest.approx(0.2)
    assert 0.3 < found.output_score_gain_low < 0.35 < found.output_score_gain_high < 0.4
    assert found.log_probability_delta == pytest.approx(np.log(4))
    assert found.log_probability_control == pytest.approx(0, abs=1e-12)  # halved and doubled
    ends = (found.log_probability_gain_low, found.log_probability_gain_high)
    assert ends == pytest.approx((np.log(4), np.log(4)))  # every prompt alike
    alone = output_score(before, after, [], PICTURES)
    assert alone[:2] == found[:2]
    assert alone.output_score_control is alone.log_probability_gain_low is None


def test_what_is_written_is_raised_at_the_last_layer_and_random_directions_are_at_chance() -> None:
    """The planted direction is the one that its token's logit grows along."""
    model, layer = random_llama(), N_LAYERS - 1
    embeds, _, mask, is_text = runs(6)
    through, random = unembedding(model, model.config.vocab_size), unit_rows(12).float()
    planted = torch.nn.functional.normalize(through.weight[[4, 9, 23]], dim=-1).float()
    sets = logit_effect(torch.cat([planted, random]), through, n=2).top.token.tolist()
    assert [tokens[0] for tokens in sets[:3]] == [4, 9, 23]

    def scored(directions: torch.Tensor, tokens: list[int]) -> Said:
        edits = [addition(row.double(), 60.0) for row in directions]
        untouched, *after = edited_logits(model, plain(embeds, mask), is_text, layer, edits)
        return [said(logits, tokens) for logits in (untouched, *after)]

    for tokens, direction in zip(sets[:3], planted, strict=True):
        before, after, *controls = scored(torch.stack([direction, *random]), tokens)
        found = output_score(before, after, controls, PICTURES)
        assert found.output_score > 0.5
        assert found.output_score_gain_low > 0.5
        assert found.output_score_control < 0.1
        assert found.log_probability_gain_low > 0
    null = []
    for number in range(12):  # a direction with the tokens of another one
        before, after, *_ = scored(random[[number]], sets[3 + (number + 1) % 12])
        null.append(output_score(before, after, [], PICTURES))
    assert np.mean([one.output_score for one in null]) < 0.15
    assert np.mean([one.log_probability_delta for one in null]) < 0.5  # planted: above 4


def test_the_edit_reaches_the_logits_as_a_hooked_pass_does() -> None:
    model, (embeds, _, mask, is_text) = random_llama(), runs(3)
    edit = addition(unit_rows(1)[0], 5.0)

    untouched, edited = edited_logits(model, plain(embeds, mask), is_text, LAYER, [edit])

    assert torch.allclose(untouched, logits(model, plain(embeds, mask)), atol=1e-8)
    with edit_residual(model, LAYER, partial(edit, text_mask=is_text)), torch.no_grad():
        assert torch.allclose(edited, logits(model, plain(embeds, mask)), atol=1e-8)


def test_batches_are_put_together_and_no_tokens_are_refused() -> None:
    one, other = (Said(np.full(n, 0.5), np.full(n, -1.0)) for n in (2, 3))

    assert joined([one, other]).score.shape == (5,)
    with pytest.raises(ValueError, match="no tokens"):
        said(torch.zeros(1, D_MODEL), [])


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ('questions with "left of" or "above", answered "yes"', ["left", "above", "yes"]),
        ("Questions about whether a Dog is left of the dog", ["dog", "left"]),
        ("the image of the neuron", []),
    ],
)
def test_words_that_a_description_is_about(description: str, words: list[str]) -> None:
    assert words_of_description(description) == words
