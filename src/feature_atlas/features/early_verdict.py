"""When enough of a feature's samples were asked a neutral prompt: a sequential test (paper 4.3).

The verdict is about a feature's N top samples (`neutral_prompt.survives`). They are asked in an
order drawn at random, and after some of them is a look: n were asked, on f the feature fired, on m
of the mean images. Asking may stop there when the verdict of these n is, but for a stated error,
that of all N. Nothing is assumed about features: on its own picture a feature fires or not, on the
mean image it fires or not, so a whole set of samples is four numbers whose sum is N; for each such
set the chance of every (f, m) at every look is hypergeometric, and for none of them may the chances
of a wrong stop, all looks together, exceed the error. A candidate survives that survives one of
several prompts, so what survives none could be wrong by each of them: there the error is shared
among the prompts. What survives one is not lost by the others, and there it is not.

Counts are let in by how little they speak for another verdict: the greatest chance that a set with
another verdict gives them, over the greatest that one with the same verdict does. With an error of
0 only those remain that no set with another verdict can show: the verdict is then certain.
"""

from functools import lru_cache
from itertools import combinations
from math import ceil

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.features.neutral_prompt import survives

MOST_SAMPLES = 24
"""Of more, the sets are too many to go through."""


def looks(n_samples: int) -> list[int]:
    """After how many samples there is a look; the first few would seldom decide anything."""
    first, step = ceil(0.4 * n_samples), ceil(n_samples / 10)
    return [*range(max(first, 1), n_samples, step), n_samples] if n_samples else []


@lru_cache(maxsize=256)
def enough(
    n_samples: int,
    looks: tuple[int, ...],
    *,
    n_prompts: int,
    max_error: float,
    min_share: float,
    max_mean_share: float,
) -> dict[int, Bool[Tensor, "fired fired_mean_image"]]:
    """For each look before all were asked: at which counts asking one of the prompts may stop."""
    if n_samples > MOST_SAMPLES:
        raise ValueError(f"{n_samples} samples: expected at most {MOST_SAMPLES}.")
    shares = {"min_share": min_share, "max_mean_share": max_mean_share}
    sets, at = _fourfold(n_samples), [n for n in looks if n < n_samples]
    if not at:
        return {}
    whole = survives(sets[:, 2:].sum(1), sets.sum(1), sets[:, 1::2].sum(1), **shares)
    chance = torch.cat([_chances(sets, n) for n in at], 1)
    now = torch.cat([_verdicts(n, **shares) for n in at])
    may_stop = torch.zeros_like(now)
    for said, limit in ((True, max_error / n_prompts), (False, max_error)):
        of_said = chance[:, now == said]
        may_stop[now == said] = _let_in(of_said[whole != said], of_said[whole == said], limit)
    parts = may_stop.split([(n + 1) ** 2 for n in at])
    return {n: part.view(n + 1, n + 1) for n, part in zip(at, parts, strict=True)}


def _let_in(
    wrong: Float[Tensor, "wrong_set count"], right: Float[Tensor, "right_set count"], limit: float
) -> Bool[Tensor, " count"]:
    """The least doubtful counts, as many as the error allows; equally doubtful ones together."""
    doubt = wrong.amax(0) / right.amax(0)  # NaN: counts that cannot be
    order = doubt.nan_to_num(torch.inf).argsort()
    too_much = doubt[order][wrong[:, order].cumsum(1).amax(0) > limit]
    return doubt < (too_much[0] if len(too_much) else torch.inf)


def _fourfold(total: int) -> Int[Tensor, "set 4"]:
    """All ways to write a number as a sum of four: of samples on which a feature fires on neither
    picture, on the mean image alone, on its own alone, on both."""
    bars = torch.tensor(list(combinations(range(total + 3), 3))).reshape(-1, 3)
    edges = torch.cat([torch.full_like(bars[:, :1], -1), bars,
                       torch.full_like(bars[:, :1], total + 3)], 1)  # fmt: skip
    return edges.diff(dim=1) - 1


def _chances(sets: Int[Tensor, "set 4"], n_seen: int) -> Float[Tensor, "set count"]:
    """Of each (f, m) when so many of each set were asked, m changing fastest."""
    seen, n_samples = _fourfold(n_seen), int(sets[0].sum())
    n = torch.arange(n_samples + 1, dtype=torch.float64)
    ways = (n.add(1).lgamma()[:, None] - n.add(1).lgamma() - (n[:, None] - n).add(1).lgamma()).exp()
    ways = ways.round().where(n[:, None] >= n, 0)  # of choosing so many out of so many
    chance = torch.ones(len(sets), len(seen), dtype=torch.float64)
    for kind in range(4):
        chance *= ways[sets[:, kind]][:, seen[:, kind]]
    chance /= ways[n_samples, n_seen]
    count = seen[:, 2:].sum(1) * (n_seen + 1) + seen[:, 1::2].sum(1)
    return chance.new_zeros(len(sets), (n_seen + 1) ** 2).index_add(1, count, chance)


def _verdicts(n_seen: int, **shares: float) -> Bool[Tensor, " count"]:
    """Of the samples asked so far, for each (f, m)."""
    fired, fired_mean = torch.cartesian_prod(*2 * (torch.arange(n_seen + 1),)).unbind(1)
    return survives(fired, torch.full_like(fired, n_seen), fired_mean, **shares)
