"""Estimates of heads beside methods A, B and the QK fix, as configured (beside paper 5.2, C).

Of the same prompts, features and positions as theirs; one rule after the other, so that no more
than one graph is in memory.
"""

from collections.abc import Mapping, Sequence

import torch

from feature_atlas.etl.stages.heads.clean_and_corrupt import Aim, CleanAndCorrupt
from feature_atlas.etl.study import Study
from feature_atlas.heads.grad_drop import droppable_writes, dropped_scores
from feature_atlas.heads.head_attribution import (
    CleanAndCorruptRuns,
    SwapScores,
    head_scores,
    run_clean_and_corrupt,
    scores_of_rows,
    through_softmax,
)
from feature_atlas.heads.integrated_gradients import both_ways, run_between, steps
from feature_atlas.heads.relevance import relevance_rules

ByLayer = dict[int, SwapScores]


def further_scores(
    study: Study, prompts: CleanAndCorrupt, aims: Mapping[int, Aim], ends: CleanAndCorruptRuns
) -> dict[str, ByLayer]:
    """By configured rule and layer, what is asked of some prompts; ``ends`` are their runs."""
    rules = {"relp": _relevance, "ig": _integrated, "grad_drop": _dropped}
    return {
        rule: rules[rule](study, prompts, aims, ends)
        for rule in study.config.head_attribution.rules
    }


def n_passes(study: Study, rule: str, layer: int, ways: Sequence[int]) -> int:
    """Passes of a prompt up to a feature's layer, forward and backward, for one or both methods."""
    n = len(ways)
    if rule == "ig":  # the same for A and B
        return 2 + 2 * study.config.head_attribution.n_steps
    return 2 + n * (layer + 2 if rule == "grad_drop" else 1)


def _relevance(
    study: Study, prompts: CleanAndCorrupt, aims: Mapping[int, Aim], ends: CleanAndCorruptRuns
) -> ByLayer:
    model = study.vlm.model
    with relevance_rules(model):
        runs = run_clean_and_corrupt(model, prompts.both(model), list(aims))
    return {
        layer: through_softmax(head_scores(runs, aim.positions, layer, aim.directions))
        for layer, aim in aims.items()
    }


def _integrated(
    study: Study, prompts: CleanAndCorrupt, aims: Mapping[int, Aim], ends: CleanAndCorruptRuns
) -> ByLayer:
    model = study.vlm.model
    mean: dict[int, torch.Tensor] = {}
    for place, weight in steps(study.config.head_attribution.n_steps):
        run = run_between(model, prompts.between(model, place), ends, list(aims))
        for layer, aim in aims.items():
            here = weight * scores_of_rows(run, aim.positions, layer, aim.directions)
            mean[layer] = mean[layer] + here if layer in mean else here
        del run  # the graph
    return {layer: both_ways(scores) for layer, scores in mean.items()}


def _dropped(
    study: Study, prompts: CleanAndCorrupt, aims: Mapping[int, Aim], ends: CleanAndCorruptRuns
) -> ByLayer:
    model = study.vlm.model
    with droppable_writes(model) as drop:
        runs = run_clean_and_corrupt(model, prompts.both(model), list(aims))
        return {
            layer: dropped_scores(runs, drop, aim.positions, layer, aim.directions)
            for layer, aim in aims.items()
        }
