"""Controls of the firing shift: what else than the skill could have moved the odds (paper 4.3).

- Tokens of one question, and questions about one picture, are not independent: the interval of the
  token odds ratio is measured again by resampling images.
- A longer question has a smaller share of template tokens, which fire features of their own: the
  shift is counted again on question tokens alone (role-matched), and between each question of the
  skill and another one as long (length-matched).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int, Int64
from torch import Tensor

from feature_atlas.features.firing_counts import FiringCounts, ReplicateCounts
from feature_atlas.statistics.uncertainty import (
    Interval,
    bootstrap_odds_ratio_interval,
    odds_ratio,
    woolf_interval,
)

Counts = Int64[np.ndarray, " feature"]
Numbers = Float64[np.ndarray, " feature"]


class RoleMatched(NamedTuple):
    """The shift on question tokens alone, one array per column of `firing_shift`."""

    role_fired_skill: Counts
    """Question tokens of the skill's questions on which the feature fired."""
    role_tokens_skill: Counts
    """Question tokens of the skill's questions."""
    role_fired_base: Counts
    """Question tokens of the other questions on which it fired."""
    role_tokens_base: Counts
    """Question tokens of the other questions."""
    role_delta_p: Numbers
    """Share of question tokens fired on, skill less base."""
    role_odds_ratio: Numbers
    """Odds ratio over question tokens, with the half."""
    role_odds_ratio_low: Numbers
    """Lower end of its 95 % Woolf interval, too narrow since tokens come in questions."""
    role_odds_ratio_high: Numbers
    """Upper end."""


class LengthMatched(NamedTuple):
    """The shift between questions of the skill and others as long, each with its partner."""

    matched_questions: Counts
    """Pairs: questions of the skill that have a partner, and as many partners."""
    matched_fired_skill: Counts
    """Tokens of the skill's paired questions on which the feature fired."""
    matched_tokens_skill: Counts
    """Tokens of the skill's paired questions."""
    matched_fired_base: Counts
    """Tokens of their partners on which it fired."""
    matched_tokens_base: Counts
    """Tokens of their partners."""
    matched_questions_fired_skill: Counts
    """The skill's paired questions in which it fired at all."""
    matched_questions_fired_base: Counts
    """Partners in which it fired at all."""
    matched_delta_p: Numbers
    """Share of tokens fired on, skill less partners."""
    matched_odds_ratio: Numbers
    """Odds ratio over tokens, with the half."""
    matched_odds_ratio_low: Numbers
    """Lower end of its 95 % Woolf interval, too narrow since tokens come in questions."""
    matched_odds_ratio_high: Numbers
    """Upper end."""


def clustered_interval(
    skill: FiringCounts,
    base: FiringCounts,
    skill_replicates: ReplicateCounts,
    base_replicates: ReplicateCounts,
) -> Interval:
    """95 % interval of one layer's token odds ratios, images resampled: [feature] each end."""
    replicates = (*_cells(skill_replicates), *_cells(base_replicates))
    return bootstrap_odds_ratio_interval(*_cells(skill), *_cells(base), replicates)


def role_matched(skill: Sequence[FiringCounts], base: Sequence[FiringCounts]) -> RoleMatched:
    """Compare counts of question tokens alone, given those of each layer in order."""
    fired, tokens, fired_base, tokens_base = _columns(skill, base)
    cells = (fired, tokens - fired, fired_base, tokens_base - fired_base)
    return RoleMatched(
        *(fired, tokens, fired_base, tokens_base),
        fired / tokens - fired_base / tokens_base,
        odds_ratio(*cells),
        *woolf_interval(*cells),
    )


def length_matched(skill: Sequence[FiringCounts], base: Sequence[FiringCounts]) -> LengthMatched:
    """Compare pairs of questions of one length, given the counts of each layer in order."""
    fired, tokens, fired_base, tokens_base = _columns(skill, base)
    cells = (fired, tokens - fired, fired_base, tokens_base - fired_base)
    return LengthMatched(
        _end_to_end([count.questions.expand_as(count.tokens_fired) for count in skill]),
        *(fired, tokens, fired_base, tokens_base),
        _end_to_end([count.questions_fired for count in skill]),
        _end_to_end([count.questions_fired for count in base]),
        fired / tokens - fired_base / tokens_base,
        odds_ratio(*cells),
        *woolf_interval(*cells),
    )


def _cells(counts: FiringCounts | ReplicateCounts) -> tuple[np.ndarray, np.ndarray]:
    """Tokens fired on, and silent ones; with an axis of replicates where there are some."""
    fired = counts.tokens_fired.long()
    return fired.cpu().numpy(), (counts.tokens - fired).cpu().numpy()


def _columns(skill: Sequence[FiringCounts], base: Sequence[FiringCounts]) -> list[Counts]:
    """Tokens fired on and tokens of both sets: layers end to end, totals repeated."""
    columns = []
    for name, counts in (("skill's", skill), ("base", base)):
        if not counts or any(int(count.tokens) == 0 for count in counts):
            raise ValueError(
                f"the {name} set has no tokens in some layer: there is nothing to compare. Count "
                "the questions of every layer, or leave the comparison out."
            )
        columns += [
            _end_to_end([count.tokens_fired for count in counts]),
            _end_to_end([count.tokens.expand_as(count.tokens_fired) for count in counts]),
        ]
    if columns[0].shape != columns[2].shape:
        raise ValueError(
            f"{columns[0].size} features in the skill's set, {columns[2].size} in the base set: "
            "pass the same layers of the same dictionaries in the same order."
        )
    return columns


def _end_to_end(layers: Sequence[Int[Tensor, " d_sae"]]) -> Counts:
    return torch.cat(list(layers)).cpu().numpy()
