"""Stage `supervised_ablation`: what breaks without a direction that labels found (beside 5.3).

As features are removed: projected out of the same tokens, on the same held-out statements of the
relation, statements of others and general questions. Controls are random directions and directions
of shuffled labels, as much variance taken; and the relation's feature that costs most on training
statements is held against each direction on the same questions.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from feature_atlas.ablation.ablation_effect import (
    AblationEffect,
    Interaction,
    answer_changes,
    interactions,
)
from feature_atlas.ablation.control import control_p_value, random_directions, variance_factor
from feature_atlas.ablation.intervention import Edit, directional, scaled
from feature_atlas.etl.run_folder.artifacts import (
    Stage,
    StageOutput,
    Warnings,
    read_table,
    run_stage,
)
from feature_atlas.etl.stages.ablation.answer_effects import (
    answer_effects,
    detectable_deltas,
    effect_columns,
    interaction_columns,
    q_values,
)
from feature_atlas.etl.stages.ablation.evaluation_sets import (
    SCORED,
    EvaluationSet,
    can_be_scored,
    images_of,
    labels_of,
    other_relations,
    statements_of,
    yes_no_questions,
)
from feature_atlas.etl.stages.ablation.interventions import base_residual
from feature_atlas.etl.stages.ablation.supervised_direction import (
    as_direction,
    read_directions,
    strongest_features,
)
from feature_atlas.etl.stages.ablation.yes_no_margins import margins_of
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.study import Study, open_study
from feature_atlas.statistics.uncertainty import clustered_bootstrap


class Removal(NamedTuple):
    """A direction, or one of its controls."""

    control_no: int
    """0: the direction itself."""
    control_kind: str | None
    """shuffled or direction, of a control."""


class Scored(NamedTuple):
    """What every removal did to one set of questions."""

    evaluation: EvaluationSet
    removals: list[Removal]
    """The direction first."""
    effects: list[AblationEffect]
    removed_norm: list[float]
    flips: np.ndarray
    """Of each removal, [removal, sample]: 1 mended, -1 spoiled."""


class Compared(NamedTuple):
    """The relation's strongest feature on the same questions."""

    feature: Feature
    difference: Interaction
    """Change of accuracy by the direction's removal less that by the feature's."""


class Row(NamedTuple):
    """One row of table `supervised_ablation`."""

    of: dict[str, Any]
    """The direction's row of table `supervised_direction`."""
    removal: Removal
    evaluation: EvaluationSet
    effect: AblationEffect
    removed_norm: float
    control_p: float | None
    interaction: Interaction | None
    """With other relations."""
    compared: Compared | None


def run_supervised_ablation(run: Path) -> Stage:
    """Every direction on all its evaluations, its controls on its relation."""
    study = open_study(run)
    config = study.config
    return run_stage(
        run,
        "supervised_ablation",
        params={
            **config.ablation.model_dump(include={"n_direction_controls", "n_other", "n_vqa"}),
            "n_bootstrap": config.ablation.n_bootstrap,
            "seed": config.seed,
        },
        reads=["supervised_direction", "ablation", *adapt_stages(study, "text")],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    places = list(range(len(read_directions(study))))
    rows = output.rows_in_shards(score, places, "directions removed")
    if rows:
        output.table("supervised_ablation", _columns(study.config.seed, rows))


def score(run: Path, place: int) -> tuple[list[Row], list[str]]:
    """A shard: all evaluations of one direction; and warnings."""
    study, said = open_study(run), Warnings()
    of, vector, shuffled = read_directions(study)[place]
    config, relation = study.config.ablation, of["relation"]
    removals = _removals(study, of["layer"], vector, shuffled)
    sets = [
        (statements_of(study, relation, [SCORED]), removals),
        (other_relations(study, relation, config.n_other), removals[:1]),
        (yes_no_questions(study, config.n_vqa), removals[:1]),
    ]
    scored = [
        _scored(study, of["layer"], evaluation, some)
        for evaluation, some in sets
        if can_be_scored(study, said, evaluation)
    ]
    return [row for one in scored for row in _rows(study, of, one, scored)], said.warnings


def _removals(
    study: Study, layer: int, vector: np.ndarray, shuffled: np.ndarray
) -> list[tuple[Removal, Edit]]:
    """The direction, then its controls; of each control as much variance as of the direction."""
    residual = base_residual(study, layer)
    direction, config = as_direction(study, vector), study.config
    at_random = random_directions(
        len(vector), n=config.ablation.n_direction_controls, seed=config.seed
    )
    drawn = [("shuffled", as_direction(study, one)) for one in shuffled]
    drawn += [("direction", one) for one in at_random.to(direction)]
    return [
        (Removal(0, None), directional(direction)),
        *(
            (Removal(number, kind), scaled(one, variance_factor(residual, direction, one)))
            for number, (kind, one) in enumerate(drawn, start=1)
        ),
    ]


def _scored(
    study: Study, layer: int, evaluation: EvaluationSet, removals: list[tuple[Removal, Edit]]
) -> Scored:
    margins = margins_of(study, layer, [edit for _, edit in removals], evaluation)
    label = labels_of(study, evaluation)
    before, after = margins.before.double().numpy(), margins.after.double().numpy()
    effects = answer_effects(study, evaluation, before, after)
    return Scored(
        evaluation,
        [removal for removal, _ in removals],
        effects,
        margins.removed_norm.tolist(),
        answer_changes(label, before, after).right,
    )


def _rows(study: Study, of: dict[str, Any], scored: Scored, others: list[Scored]) -> list[Row]:
    first, *controls = [
        Row(of, removal, scored.evaluation, effect, share, None, None, None)
        for removal, effect, share in zip(
            scored.removals, scored.effects, scored.removed_norm, strict=True
        )
    ]
    if scored.evaluation.name != "vsr_relation":
        return [first]
    of_controls = np.array([row.effect.delta_accuracy for row in controls])
    first = first._replace(
        control_p=control_p_value(first.effect.delta_accuracy, of_controls) if controls else None,
        interaction=_interaction(study, scored, others),
        compared=_compared(study, of["relation"], scored),
    )
    return [first, *controls]


def _interaction(study: Study, scored: Scored, others: list[Scored]) -> Interaction | None:
    """Of the direction's removal, with the set of other relations."""
    other = next((one for one in others if one.evaluation.name == "vsr_other"), None)
    if other is None:
        return None
    [found] = interactions(
        scored.flips[:1], images_of(study, scored.evaluation),
        other.flips, images_of(study, other.evaluation),
        seed=study.config.seed, n_draws=study.config.ablation.n_bootstrap,
    )  # fmt: skip
    return found


def _compared(study: Study, relation: str, scored: Scored) -> Compared:
    """With the removal of the relation's strongest feature, question by question."""
    feature = strongest_features(study)[relation]
    before, after = feature_margins(study, feature, scored.evaluation)
    label = labels_of(study, scored.evaluation)
    of_feature = answer_changes(label, before, after[None]).right[0]
    paired = scored.flips[0] - of_feature
    low, high = clustered_bootstrap(
        paired, images_of(study, scored.evaluation),
        n_draws=study.config.ablation.n_bootstrap, seed=study.config.seed,
    )  # fmt: skip
    return Compared(feature, Interaction(float(paired.mean()), float(low), float(high)))


def feature_margins(
    study: Study, feature: Feature, evaluation: EvaluationSet
) -> tuple[np.ndarray, np.ndarray]:
    """Before and after a feature's directional removal, as stage `ablation` found them."""
    wanted = {
        **feature._asdict(), "evaluation": evaluation.name, "intervention": "directional"
    }  # fmt: skip
    columns = [*wanted, "sample", "margin_before", "margin_after"]
    rows = read_table(study.run, "ablation", "ablation_outcome", columns)
    for name, value in wanted.items():
        rows = rows.filter(pc.equal(rows[name], value))
    found = {r["sample"]: (r["margin_before"], r["margin_after"]) for r in rows.to_pylist()}
    before, after = np.array([found[number] for number in evaluation.numbers], np.float64).T
    return before, after


def _columns(seed: int, rows: list[Row]) -> dict[str, Any]:
    effects = [row.effect for row in rows]
    compared, is_control = [r.compared for r in rows], [r.removal.control_no > 0 for r in rows]
    return {
        **{name: [row.of[name] for row in rows] for name in ("relation", "contrast", "method")},
        "layer": np.array([row.of["layer"] for row in rows], np.int16),
        "evaluation": [row.evaluation.name for row in rows],
        "control_no": np.array([row.removal.control_no for row in rows], np.int16),
        "control_kind": [row.removal.control_kind for row in rows],
        "control_p": [row.control_p for row in rows],
        **interaction_columns([row.interaction for row in rows], "interaction"),
        "compared_layer": [one and one.feature.layer for one in compared],
        "compared_feature": [one and one.feature.feature for one in compared],
        **interaction_columns([one and one.difference for one in compared], "delta_less_feature"),
        **effect_columns(seed, effects, [row.removed_norm for row in rows]),
        "q_value": q_values(
            effects,
            [
                None if control else row.evaluation.name
                for row, control in zip(rows, is_control, strict=True)
            ],
        ),
        "detectable_delta": [
            None if control else delta
            for delta, control in zip(detectable_deltas(effects), is_control, strict=True)
        ],
    }
