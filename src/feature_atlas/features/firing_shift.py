"""Firing shift: how much more often a feature fires when a question asks for a skill (4.3, A.5).

    p_f(D) = tokens of D on which f fires / tokens of D
    delta_p = p_f(D_skill) - p_f(D_base),      odds ratio of the same two shares

Counted at two levels. Token level is the paper's. Tokens of one question are not independent, and a
TopK code always fires k features somewhere, so the same is counted per question (does the feature
fire anywhere in it?); tests of significance use that level. D_base is everything but D_skill.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from feature_atlas.features.firing_counts import FiringCounts
from feature_atlas.statistics.uncertainty import (
    benjamini_hochberg,
    odds_ratio,
    odds_ratio_p_value,
    woolf_interval,
)

Counts = Int64[np.ndarray, " feature"]
Numbers = Float64[np.ndarray, " feature"]


class FiringShift(NamedTuple):
    """Table `firing_shift`, one array per column; row = layer * d_sae + feature."""

    fired_skill: Counts
    """Tokens of the skill split on which the feature fired."""
    tokens_skill: Counts
    """Tokens of the skill split."""
    fired_base: Counts
    """Tokens of the base split on which it fired."""
    tokens_base: Counts
    """Tokens of the base split."""
    questions_fired_skill: Counts
    """Questions of the skill split in which it fired at all."""
    questions_skill: Counts
    """Questions of the skill split."""
    questions_fired_base: Counts
    """Questions of the base split in which it fired at all."""
    questions_base: Counts
    """Questions of the base split."""
    delta_p: Numbers
    """Share of tokens fired on, skill less base; above 0: recruited by the skill."""
    odds_ratio: Numbers
    """Odds ratio over tokens, with the Haldane-Anscombe half."""
    odds_ratio_low: Numbers
    """Lower end of its 95 % Woolf interval, too narrow since tokens come in questions."""
    odds_ratio_high: Numbers
    """Upper end."""
    p_value: Numbers
    """Wald test that the odds ratio over questions is 1."""
    q_value: Numbers
    """Benjamini-Hochberg over all features of all layers of this skill."""
    question_delta_p: Numbers
    """Share of questions fired in, skill less base."""
    question_odds_ratio: Numbers
    """Odds ratio over questions, with the half."""
    question_odds_ratio_low: Numbers
    """Lower end of its 95 % Woolf interval."""
    question_odds_ratio_high: Numbers
    """Upper end."""
    has_zero_cell: Bool[np.ndarray, " feature"]
    """Whether a raw cell of either 2 x 2 table is 0, so that the half decides the odds ratio."""


def firing_shift(skill: Sequence[FiringCounts], base: Sequence[FiringCounts]) -> FiringShift:
    """Compare two disjoint splits, given the counts of each layer in order.

    All layers come in one call because the false discovery rate is over all their features.
    """
    in_skill, in_base = _all_layers("skill", skill), _all_layers("base", base)
    if in_skill[0].shape != in_base[0].shape:
        raise ValueError(
            f"{in_skill[0].size} features in the skill split, {in_base[0].size} in the base split: "
            "pass the same layers of the same dictionaries in the same order."
        )
    by_token = _compare(in_skill[0], in_skill[1], in_base[0], in_base[1])
    by_question = _compare(in_skill[2], in_skill[3], in_base[2], in_base[3])
    return FiringShift(
        fired_skill=in_skill[0],
        tokens_skill=in_skill[1],
        fired_base=in_base[0],
        tokens_base=in_base[1],
        questions_fired_skill=in_skill[2],
        questions_skill=in_skill[3],
        questions_fired_base=in_base[2],
        questions_base=in_base[3],
        delta_p=by_token.delta_p,
        odds_ratio=by_token.odds_ratio,
        odds_ratio_low=by_token.low,
        odds_ratio_high=by_token.high,
        p_value=by_question.p_value,
        q_value=benjamini_hochberg(by_question.p_value),
        question_delta_p=by_question.delta_p,
        question_odds_ratio=by_question.odds_ratio,
        question_odds_ratio_low=by_question.low,
        question_odds_ratio_high=by_question.high,
        has_zero_cell=by_token.has_zero_cell | by_question.has_zero_cell,
    )


class _Comparison(NamedTuple):
    delta_p: Numbers
    odds_ratio: Numbers
    low: Numbers
    high: Numbers
    p_value: Numbers
    has_zero_cell: Bool[np.ndarray, " feature"]


def _compare(fired: Counts, total: Counts, fired_base: Counts, total_base: Counts) -> _Comparison:
    """The shift at one level, tokens or questions."""
    cells = (fired, total - fired, fired_base, total_base - fired_base)
    return _Comparison(
        fired / total - fired_base / total_base,
        odds_ratio(*cells),
        *woolf_interval(*cells),
        odds_ratio_p_value(*cells),
        np.any([cell == 0 for cell in cells], axis=0),
    )


def _all_layers(split: str, counts: Sequence[FiringCounts]) -> list[Counts]:
    """Fired tokens, tokens, fired questions, questions: layers end to end, totals repeated."""
    empty = [layer for layer, count in enumerate(counts) if count.questions == 0]
    if empty or not counts:
        raise ValueError(
            f"the {split} split has no questions in layer(s) {empty or 'none given'}: the skill's "
            "filter matches no question, or every one. Change its patterns or take more samples."
        )
    repeated = [FiringCounts(*(c.expand_as(count.tokens_fired) for c in count)) for count in counts]
    return [torch.cat(column).cpu().numpy() for column in zip(*repeated, strict=True)]
