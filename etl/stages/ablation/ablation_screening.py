"""Which candidates matter, judged on the training statements only (paper 5.3).

The paper ablates what survives the neutral prompts. A feature that works out a relation need not
fire when no relation is asked, so candidates are also screened by what their removal does. The
winners are scored on other statements about other pictures: no selection effect is left.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import track

from feature_atlas.ablation.ablation_effect import answer_changes
from feature_atlas.ablation.intervention import directional
from feature_atlas.dictionary.sae import unit_directions
from feature_atlas.etl.run_folder.artifacts import StageOutput, read_arrays, read_rows
from feature_atlas.etl.run_folder.shards import batched
from feature_atlas.etl.stages.ablation.evaluation_sets import labels_of, relation_sets
from feature_atlas.etl.stages.ablation.yes_no_margins import margins_of
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.stages.features.feature_choice import Feature, by_layer_of
from feature_atlas.etl.stages.features.skills import STATEMENTS
from feature_atlas.etl.study import Study, open_study

CANDIDATES_PER_PART = 128


class Cost(NamedTuple):
    """What a feature's removal costs on training statements of its relation; above 0: it hurts."""

    accuracy: float
    """Share of answers lost."""
    margin: float
    """Mean loss of the margin towards the right answer, in logits: settles ties."""


class Part(NamedTuple):
    """A shard: some of a layer's candidates."""

    layer: int
    features: list[int]


def screen(output: StageOutput, study: Study, candidates: list[Feature]) -> dict[Feature, Cost]:
    """Cost of each candidate that has a relation."""
    parts = [
        Part(layer, few)
        for layer, numbers in by_layer_of(candidates).items()
        for few in batched(numbers, CANDIDATES_PER_PART)
    ]
    found = output.in_shards(costs_of, parts)
    return {
        feature: cost
        for part in track(found, "screening candidates", total=len(parts))
        for feature, cost in part
    }


def costs_of(run: Path, part: Part) -> list[tuple[Feature, Cost]]:
    """Of the candidates of a part."""
    study, part, costs = open_study(run), Part(*part), list[tuple[Feature, Cost]]()
    directions = unit_directions(adapted_sae(study, "text", part.layer))
    for evaluation, features in relation_sets(study, part.layer, part.features, [STATEMENTS]):
        few = evaluation.first(study.config.ablation.n_screen)
        margins = margins_of(study, part.layer, [directional(directions[f]) for f in features], few)
        before, after = margins.before.double().numpy(), margins.after.double().numpy()
        changes = answer_changes(labels_of(study, few), before, after)
        for f, right, margin in zip(features, changes.right, changes.margin, strict=True):
            cost = Cost(-float(right.mean()), -float(margin.mean()))
            costs.append((Feature(part.layer, f), cost))
    return costs


def by_cost(features: list[Feature], costs: dict[Feature, Cost]) -> list[Feature]:
    """Those whose removal cost most come first; those that have no relation last."""
    nothing = Cost(-np.inf, -np.inf)
    return sorted(features, key=lambda f: costs.get(f, nothing), reverse=True)


def removed_with_relation(study: Study) -> dict[Feature, str]:
    """Removed features with the relation of their statements, in the order of `by_cost`."""
    relation = {
        Feature(row["layer"], row["feature"]): row["relation"]
        for row in read_rows(study.run, "ablation", "ablation")
        if row["evaluation"] == "vsr_relation" and row["control_no"] == 0
    }
    return {f: relation[f] for f in by_cost(list(relation), read_costs(study))}


def write_costs(output: StageOutput, costs: dict[Feature, Cost]) -> None:
    """For the stages that want the strongest first."""
    output.arrays(
        "screening",
        layer=np.array([f.layer for f in costs], np.int64),
        feature=np.array([f.feature for f in costs], np.int64),
        accuracy=np.array([cost.accuracy for cost in costs.values()], np.float64),
        margin=np.array([cost.margin for cost in costs.values()], np.float64),
    )


def read_costs(study: Study) -> dict[Feature, Cost]:
    """What stage `ablation` found on the training statements."""
    kept = read_arrays(study.run, "ablation", "screening")
    columns = (kept[name].tolist() for name in ("layer", "feature", "accuracy", "margin"))
    return {
        Feature(layer, f): Cost(accuracy, margin)
        for layer, f, accuracy, margin in zip(*columns, strict=True)
    }
