"""Stage `group_ablation`: what breaks without several features, few and many (paper 5.3).

A group is all spatial survivors of a layer, or all whose relation is the same, in whatever layers.
The strongest on training statements go first: 1, 2, 4, ... features, then all. What the directions
of a layer span together is projected out; and sets of as many matched features go the same way.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from feature_atlas.ablation.ablation_effect import AblationEffect
from feature_atlas.ablation.intervention import Edit, span_removal
from feature_atlas.dictionary.sae import unit_directions
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, Warnings, run_stage
from feature_atlas.etl.stages.ablation.ablation import SKILL
from feature_atlas.etl.stages.ablation.ablation_screening import by_cost, read_costs
from feature_atlas.etl.stages.ablation.answer_effects import (
    answer_effects,
    detectable_deltas,
    effect_columns,
    q_values,
)
from feature_atlas.etl.stages.ablation.evaluation_sets import (
    SCORED,
    EvaluationSet,
    all_relations,
    can_be_scored,
    other_relations,
    statements_of,
    yes_no_questions,
)
from feature_atlas.etl.stages.ablation.interventions import LayerInterventions
from feature_atlas.etl.stages.ablation.yes_no_margins import margins_of_groups
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages, adapted_sae
from feature_atlas.etl.stages.features.feature_choice import Feature, by_layer_of, survivors_of
from feature_atlas.etl.stages.features.top_samples import relation_of
from feature_atlas.etl.study import Study, open_study

Matched = dict[Feature, Feature]
"""A matched feature by the member that it stands for."""


class Group(NamedTuple):
    """Features that are removed together."""

    kind: str
    """`layer` or `relation`."""
    name: str
    """The layer's number, or the relation."""
    sets: list[list[Feature]]
    """The group, the strongest first, and its matched sets in the same order."""

    @property
    def doses(self) -> list[int]:
        """1, 2, 4, ... and all."""
        n = len(self.sets[0])
        return [*(2**i for i in range((n - 1).bit_length())), n]


class Row(NamedTuple):
    """One row of table `ablation_group`."""

    group: Group
    evaluation: EvaluationSet
    n_features: int
    control_no: int
    effect: AblationEffect
    removed_norm: float


def run_group_ablation(run: Path) -> Stage:
    """Every group on its evaluations, with its matched sets."""
    study = open_study(run)
    return run_stage(
        run,
        "group_ablation",
        params={**study.config.group_ablation.model_dump(), "seed": study.config.seed},
        reads=[
            *("ablation", "neutral_prompt", "visual_energy", "harvest"),
            *adapt_stages(study, "text"),
        ],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    survivors = by_cost(survivors_of(study, SKILL), read_costs(study))
    groups = _with_controls(study, survivors)
    rows = output.rows_in_shards(score_group, groups, "groups of features")
    if rows:
        output.table("ablation_group", _columns(study.config.seed, rows))
        scored = {(row.group.kind, row.group.name) for row in rows}
        output.table("ablation_group_member", _members([g for g in groups if g[:2] in scored]))


def score_group(run: Path, shard: Group) -> tuple[list[Row], list[str]]:
    """A shard: every dose of a group and of its matched sets, on all evaluations; and warnings."""
    study, (kind, name, sets), said = open_study(run), shard, Warnings()
    group = Group(kind, name, [[Feature(*feature) for feature in members] for members in sets])
    directions = _directions(study, [feature for members in group.sets for feature in members])
    rows = [
        row
        for evaluation in _evaluations(study, group)
        if can_be_scored(study, said, evaluation)
        for row in _score(study, directions, group, evaluation)
    ]
    return rows, said.warnings


def _directions(study: Study, features: list[Feature]) -> dict[Feature, Tensor]:
    """Unit decoder rows, a layer at a time: a large model's dictionaries do not fit together."""
    return {
        Feature(layer, f): rows[place]
        for layer, numbers in by_layer_of(features).items()
        for rows in [unit_directions(adapted_sae(study, "text", layer))[numbers]]
        for place, f in enumerate(numbers)
    }


def _groups(study: Study, survivors: list[Feature]) -> list[Group]:
    """Without their matched sets."""
    config = study.config.group_ablation
    found: dict[tuple[str, str], list[Feature]] = {}
    for f in survivors:
        names = {"layer": str(f.layer), "relation": relation_of(study, f)}
        for kind in config.by:
            name = names[kind]
            if name is not None:
                found.setdefault((kind, name), []).append(f)
    return [Group(*key, [found[key][: config.max_features]]) for key in sorted(found)]


def _with_controls(study: Study, survivors: list[Feature]) -> list[Group]:
    """The groups with matched sets; layers in turn, since their dictionaries take memory."""
    groups = _groups(study, survivors)
    sets: list[list[Matched]] = [
        [{} for _ in range(study.config.group_ablation.n_controls)] for _ in groups
    ]
    for layer, numbers in by_layer_of(survivors).items():
        removals = LayerInterventions(study, layer, numbers)
        for group, of_group in zip(groups, sets, strict=True):
            _match(removals, [f for f in group.sets[0] if f.layer == layer], of_group)
    return [_with_sets(*pair) for pair in zip(groups, sets, strict=True)]


def _match(removals: LayerInterventions, members: list[Feature], sets: list[Matched]) -> None:
    """One matched feature per member goes into each set, none of them twice.

    Where a layer has none left, a set stays smaller.
    """
    taken: list[int] = []
    for controls in sets:
        for member in members:
            for drawn in removals.matched(member.feature, 1, taken):
                controls[member] = Feature(member.layer, drawn)
                taken.append(drawn)


def _with_sets(group: Group, sets: list[Matched]) -> Group:
    """Matched features in the order of their members."""
    members = group.sets[0]
    return group._replace(sets=[members, *([s[f] for f in members if f in s] for s in sets)])


def _evaluations(study: Study, group: Group) -> list[EvaluationSet]:
    config = study.config.group_ablation
    questions = yes_no_questions(study, config.n_vqa)
    if group.kind == "layer":
        return [all_relations(study, config.n_statements), questions]
    return [
        statements_of(study, group.name, [SCORED]).first(config.n_statements),
        other_relations(study, group.name, config.n_statements),
        questions,
    ]


def _score(
    study: Study, directions: dict[Feature, Tensor], group: Group, evaluation: EvaluationSet
) -> list[Row]:
    plan = [
        (n, number, members[:n])
        for number, members in enumerate(group.sets)
        for n in group.doses
        if n <= len(members)
    ]
    margins = margins_of_groups(
        study, [_edits(directions, chosen) for *_, chosen in plan], evaluation
    )
    before, after = margins.before.double().numpy(), margins.after.double().numpy()
    effects = answer_effects(study, evaluation, before, after)
    return [
        Row(group, evaluation, n, number, effect, share)
        for (n, number, _), effect, share in zip(
            plan, effects, margins.removed_norm.tolist(), strict=True
        )
    ]


def _edits(directions: dict[Feature, Tensor], chosen: list[Feature]) -> dict[int, Edit]:
    return {
        layer: span_removal(torch.stack([directions[Feature(layer, f)] for f in numbers]))
        for layer, numbers in by_layer_of(chosen).items()
    }


def _columns(seed: int, rows: list[Row]) -> dict[str, Any]:
    effects = [row.effect for row in rows]
    return {
        "kind": [row.group.kind for row in rows],
        "name": [row.group.name for row in rows],
        "evaluation": [row.evaluation.name for row in rows],
        "n_features": np.array([row.n_features for row in rows], np.int32),
        "control_no": np.array([row.control_no for row in rows], np.int16),
        **effect_columns(seed, effects, [row.removed_norm for row in rows]),
        # over all groups and doses of an evaluation; matched sets have none
        "q_value": q_values(
            effects, [row.evaluation.name if row.control_no == 0 else None for row in rows]
        ),
        "detectable_delta": detectable_deltas(effects),
    }


def _members(groups: list[Group]) -> dict[str, Any]:
    rows = [
        (group, number, place, f)
        for group in groups
        for number, members in enumerate(group.sets)
        for place, f in enumerate(members, start=1)
    ]
    return {
        "kind": [group.kind for group, *_ in rows],
        "name": [group.name for group, *_ in rows],
        "control_no": np.array([number for _, number, *_ in rows], np.int16),
        "place": np.array([place for *_, place, _ in rows], np.int32),
        "layer": np.array([f.layer for *_, f in rows], np.int16),
        "feature": np.array([f.feature for *_, f in rows], np.int32),
    }
