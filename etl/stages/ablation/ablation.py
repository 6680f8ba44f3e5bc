"""Stage `ablation`: what breaks without a feature (paper 5.3, D).

Survivors of the neutral prompts are ablated, and beside them the candidates, survivors or not,
whose removal hurts most on VSR's train split: neither the neutral filter nor the odds ratio need
find the features that reasoning needs. A feature's relation is read off its top statements of the
train split too; every ablation is scored on the test split, so that choosing and scoring use
different questions and different pictures. Controls of the same layer answer the same questions.
The paper's own way, choosing and scoring on the same statements, is kept beside it under a name of
its own.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import track

from feature_atlas.ablation.ablation import AblatedMargins
from feature_atlas.ablation.ablation_effect import (
    Interaction,
    answer_changes,
    interactions,
)
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, Warnings, run_stage
from feature_atlas.etl.run_folder.shards import batched
from feature_atlas.etl.stages.ablation.ablation_rows import (
    Answers,
    Row,
    ablation_columns,
    outcome_columns,
)
from feature_atlas.etl.stages.ablation.ablation_screening import Cost, by_cost, screen, write_costs
from feature_atlas.etl.stages.ablation.answer_effects import answer_effects
from feature_atlas.etl.stages.ablation.evaluation_sets import (
    SCORED,
    EvaluationSet,
    evaluation_sets,
    images_of,
    labels_of,
)
from feature_atlas.etl.stages.ablation.interventions import Intervention, LayerInterventions
from feature_atlas.etl.stages.ablation.yes_no_margins import blind_margins, margins_of
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages
from feature_atlas.etl.stages.features.feature_choice import (
    Feature,
    by_layer_of,
    candidates_of,
    survivors_of,
)
from feature_atlas.etl.study import Study, open_study

SKILL = "spatial"
HELD_OUT = ("vsr_relation", "vqa_yes_no")
"""Where the other interventions are made too."""
FEATURES_PER_PART = 4
"""Of a shard: with all their controls some minutes for a large model."""


class Scored(NamedTuple):
    """What a layer's removals did to one set of questions."""

    evaluation: EvaluationSet
    features: list[int]
    """The features in question."""
    removals: list[Intervention]
    """What was removed, in the order of `margins`."""
    margins: AblatedMargins


class Part(NamedTuple):
    """A shard: some of a layer's chosen features."""

    layer: int
    features: list[int]
    chosen: list[int]
    """All of the layer: none of them is a control."""
    compared: list[int]
    """Those for which the other interventions are made too."""


class Scores(NamedTuple):
    """What the removals of a part did."""

    rows: list[Row]
    warnings: list[str]


def run_ablation(run: Path) -> Stage:
    """Ablate every chosen feature on all its evaluations, and its controls on its relation."""
    study = open_study(run)
    return run_stage(
        run,
        "ablation",
        params={
            **study.config.ablation.model_dump(),
            "skill": SKILL,
            "direction": "adapted",
            "scored_on": SCORED,
        },
        reads=[
            *("samples", "mean_image", "neutral_prompt", "visual_energy", "harvest"),
            *adapt_stages(study, "text"),
        ],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    costs = screen(output, study, candidates_of(study, SKILL))
    write_costs(output, costs)
    parts, rows = _parts(study, costs), list[Row]()
    for scores in track(output.in_shards(score, parts), "ablation", total=len(parts)):
        output.warn_of(scores.warnings)
        for row in scores.rows:
            if row.removal.control_no == 0:
                output.table("ablation_outcome", outcome_columns(row))
        rows.extend(scores.rows)
    if rows:
        output.table("ablation", ablation_columns(study.config.seed, rows))


def _parts(study: Study, costs: dict[Feature, Cost]) -> list[Part]:
    targets = _targets(study, costs)
    compared = set(by_cost(targets, costs)[: study.config.ablation.n_compared])
    return [
        Part(layer, few, chosen, [f for f in few if Feature(layer, f) in compared])
        for layer, chosen in by_layer_of(targets).items()
        for few in batched(chosen, FEATURES_PER_PART)
    ]


def _targets(study: Study, costs: dict[Feature, Cost]) -> list[Feature]:
    """The survivors of the highest odds ratios, then what costs most on training statements."""
    config = study.config.ablation
    survivors = survivors_of(study, SKILL)[: config.max_features]
    costly = by_cost([f for f in costs if f not in survivors and costs[f].accuracy > 0], costs)
    return survivors + costly[: config.n_screened]


def score(run: Path, part: Part) -> Scores:
    """All evaluations of a part's features."""
    study, part, said = open_study(run), Part(*part), Warnings()
    layer = _removals(study, part.layer, tuple(part.chosen))
    scored = [
        _score_set(study, layer, evaluation, features, part.compared)
        for evaluation, features in evaluation_sets(study, said, part.layer, part.features)
    ]
    rows = [row for of_set in scored for row in _rows(study, part.layer, of_set, scored)]
    return Scores(rows, said.warnings)


@lru_cache(maxsize=1)
def _removals(study: Study, layer: int, chosen: tuple[int, ...]) -> LayerInterventions:
    return LayerInterventions(study, layer, list(chosen))


def _score_set(
    study: Study,
    layer: LayerInterventions,
    evaluation: EvaluationSet,
    features: list[int],
    compared: list[int],
) -> Scored:
    removals = [Intervention(f) for f in features]
    if evaluation.name in HELD_OUT:
        others = study.config.ablation.interventions
        removals += [Intervention(f, name) for f in features if f in compared for name in others]
    if evaluation.name == "vsr_relation":
        removals += [control for f in features for control in layer.controls(f)]
    edits = [layer.edit(removal) for removal in removals]
    margins = margins_of(study, layer.layer, edits, evaluation)
    return Scored(evaluation, features, removals, margins)


def _rows(study: Study, layer: int, scored: Scored, others: list[Scored]) -> list[Row]:
    """Rows of one evaluation."""
    evaluation, margins = scored.evaluation, scored.margins
    label = labels_of(study, evaluation)
    before, after = margins.before.double().numpy(), margins.after.double().numpy()
    effects = answer_effects(study, evaluation, before, after)
    blind = None if evaluation.name == "vsr_paper" else blind_margins(study, evaluation)
    specific = _interactions(study, scored, others)
    rows = []
    for removal, effect, moved, share in zip(
        scored.removals, effects, margins.after, margins.removed_norm.tolist(), strict=True
    ):
        of_feature = specific.get(removal.feature) if removal.control_no == 0 else None
        interaction = of_feature if removal.intervention == "directional" else None
        answers = Answers(label, margins.before, moved, blind)
        rows.append(Row(layer, removal, evaluation, effect, share, answers, interaction))
    return rows


def _interactions(study: Study, scored: Scored, others: list[Scored]) -> dict[int, Interaction]:
    """Of the relation's set with the set of other relations, by feature."""
    if scored.evaluation.name != "vsr_relation":
        return {}
    wanted = ("vsr_other", scored.evaluation.relation)
    other = next((s for s in others if s.evaluation[:2] == wanted), None)
    if other is None:
        return {}
    found = interactions(
        _flips(study, scored), images_of(study, scored.evaluation),
        _flips(study, other), images_of(study, other.evaluation),
        seed=study.config.seed, n_draws=study.config.ablation.n_bootstrap,
    )  # fmt: skip
    return dict(zip(scored.features, found, strict=True))


def _flips(study: Study, scored: Scored) -> np.ndarray:
    """Of the directional removal of each feature in question, [feature, sample]."""
    n = len(scored.features)  # these come first
    before, after = scored.margins.before.double().numpy(), scored.margins.after.double().numpy()
    return answer_changes(labels_of(study, scored.evaluation), before, after[:n]).right
