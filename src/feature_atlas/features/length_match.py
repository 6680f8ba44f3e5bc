"""Length-matched controls: for each question of a skill another one as long (beside paper 4.3).

A token's chance to fire a feature depends on where it stands and on how many template tokens share
its question, so a skill whose questions are long shifts every feature a little. Here each question
of the skill gets a partner without the skill: of the same length and VQAv2 type if there is one,
else of the same length, else of the nearest length within the caliper. Nobody is used twice, and a
question without a partner stays out.
"""

from collections import defaultdict
from collections.abc import Sequence
from random import Random
from typing import NamedTuple


class Kind(NamedTuple):
    """What a question and its control should have in common."""

    n_tokens: int
    """Length of the question in tokens."""
    question_type: str | None
    """VQAv2's prefix, if it has one."""


class Pair(NamedTuple):
    """A question and its control, by their places in the two lists."""

    question: int
    """Place among the skill's questions."""
    control: int
    """Place among those without the skill."""


Pools = dict[int, dict[str, list[int]]]


def length_matched_pairs(
    questions: Sequence[Kind], others: Sequence[Kind], *, caliper: int = 0, seed: int = 0
) -> list[Pair]:
    """Partners for as many questions as can have one; the same for the same seed.

    `caliper`: tokens by which the lengths of a pair may differ; the nearest are paired first.
    """
    random = Random(seed)
    pools = _pools(others, random)
    waiting = list(range(len(questions)))
    random.shuffle(waiting)
    pairs: list[Pair] = []
    for gap in range(caliper + 1):
        for same_type in (True, False):
            left = []
            for place in waiting:
                control = _take(pools, questions[place], gap, same_type)
                if control is None:
                    left.append(place)
                else:
                    pairs.append(Pair(place, control))
            waiting = left
    return sorted(pairs)


def _pools(others: Sequence[Kind], random: Random) -> Pools:
    """Places by length and type, each pool in random order."""
    pools: Pools = defaultdict(lambda: defaultdict(list))
    for place, kind in enumerate(others):
        pools[kind.n_tokens][kind.question_type or ""].append(place)
    for by_type in pools.values():
        for pool in by_type.values():
            random.shuffle(pool)
    return pools


def _take(pools: Pools, kind: Kind, gap: int, same_type: bool) -> int | None:
    """One of the largest pool that fits, taken out of it."""
    fitting = [
        pool
        for n_tokens in sorted({kind.n_tokens - gap, kind.n_tokens + gap} & pools.keys())
        for question_type, pool in sorted(pools[n_tokens].items())
        if pool and (not same_type or question_type == (kind.question_type or ""))
    ]
    return max(fitting, key=len).pop() if fitting else None
