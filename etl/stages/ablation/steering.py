"""Stage `steering`: adding a feature's direction, the mirror of removing it (paper 5.3).

The features whose removal costs most on training statements. If removing a direction moves the
answers one way, adding what the feature writes when it fires should move them the other way.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from feature_atlas.ablation.ablation_effect import AblationEffect
from feature_atlas.ablation.intervention import addition, directional
from feature_atlas.dictionary.sae import unit_directions
from feature_atlas.etl.run_folder.artifacts import (
    Stage,
    StageOutput,
    Warnings,
    read_rows,
    run_stage,
)
from feature_atlas.etl.stages.ablation.ablation_screening import by_cost, read_costs
from feature_atlas.etl.stages.ablation.answer_effects import (
    answer_effects,
    detectable_deltas,
    effect_columns,
)
from feature_atlas.etl.stages.ablation.evaluation_sets import (
    SCORED,
    EvaluationSet,
    can_be_scored,
    relation_sets,
)
from feature_atlas.etl.stages.ablation.yes_no_margins import margins_of
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages, adapted_sae
from feature_atlas.etl.stages.features.feature_choice import Feature, by_layer_of
from feature_atlas.etl.stages.features.selection import by_layer
from feature_atlas.etl.study import Study, open_study
from feature_atlas.statistics.uncertainty import benjamini_hochberg


class Row(NamedTuple):
    """One row of table `steering`."""

    feature: Feature
    evaluation: EvaluationSet
    alpha: float
    length: float
    effect: AblationEffect
    moved: Float[np.ndarray, " sample"]
    """Margin of yes over no, after minus before."""
    moved_removed: Float[np.ndarray, " sample"]
    """The same when the direction is removed."""
    removed_norm: float


def run_steering(run: Path) -> Stage:
    """Every strength of each chosen feature on the test statements of its relation."""
    study = open_study(run)
    return run_stage(
        run,
        "steering",
        params={**study.config.steering.model_dump(), "seed": study.config.seed},
        reads=["ablation", "visual_energy", "harvest", *adapt_stages(study, "text")],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    ablated = read_rows(study.run, "ablation", "ablation")
    features = dict.fromkeys(Feature(r["layer"], r["feature"]) for r in ablated)
    chosen = by_cost(list(features), read_costs(study))[: study.config.steering.max_features]
    by_layers = [Feature(layer, f) for layer, of in by_layer_of(chosen).items() for f in of]
    rows = output.rows_in_shards(steer, by_layers, "steering")
    if rows:
        output.table("steering", _columns(study.config.seed, rows))


def steer(run: Path, feature: Feature) -> tuple[list[Row], list[str]]:
    """A shard: every strength of one feature; and warnings."""
    study, feature, said = open_study(run), Feature(*feature), Warnings()
    rows = [
        row
        for evaluation, _ in relation_sets(study, feature.layer, [feature.feature], [SCORED])
        for few in [evaluation.first(study.config.steering.n_statements)]
        if can_be_scored(study, said, few)
        for row in _steer(said, study, feature, few)
    ]
    return rows, said.warnings


def _steer(said: Warnings, study: Study, feature: Feature, evaluation: EvaluationSet) -> list[Row]:
    sae = adapted_sae(study, "text", feature.layer)
    direction = unit_directions(sae)[feature.feature]
    unit = _mean_activation(study, feature) / sae.scale
    if not np.isfinite(unit):
        said.warn(f"L{feature.layer} F{feature.feature} fires on no question: not steered")
        return []
    alphas = study.config.steering.alphas
    edits = [directional(direction), *(addition(direction, alpha * unit) for alpha in alphas)]
    margins = margins_of(study, feature.layer, edits, evaluation)
    before, after = margins.before.double().numpy(), margins.after.double().numpy()
    effects = answer_effects(study, evaluation, before, after)
    moved, shares = after - before, margins.removed_norm.tolist()
    return [
        Row(feature, evaluation, alpha, alpha * unit, effects[i], moved[i], moved[0], shares[i])
        for i, alpha in enumerate(alphas, start=1)
    ]


def _mean_activation(study: Study, feature: Feature) -> float:
    """Where it fires, in normalised units; NaN if it fires nowhere."""
    means = by_layer(study, "visual_energy", "visual_energy", "mean_activation")
    return float(means[study.layers.index(feature.layer), feature.feature])


def _columns(seed: int, rows: list[Row]) -> dict[str, Any]:
    effects = [row.effect for row in rows]
    return {
        "layer": np.array([row.feature.layer for row in rows], np.int16),
        "feature": np.array([row.feature.feature for row in rows], np.int32),
        "evaluation": [row.evaluation.name for row in rows],
        "relation": [row.evaluation.relation for row in rows],
        "alpha": np.array([row.alpha for row in rows], np.float32),
        "length": np.array([row.length for row in rows]),
        "yes_margin_delta": np.array([row.moved.mean() for row in rows]),
        "yes_margin_delta_removed": np.array([row.moved_removed.mean() for row in rows]),
        "mirror_correlation": [mirror_correlation(row.moved, row.moved_removed) for row in rows],
        **effect_columns(seed, effects, [row.removed_norm for row in rows]),
        "q_value": benjamini_hochberg([effect.mcnemar_p for effect in effects]),
        "detectable_delta": detectable_deltas(effects),
    }


def mirror_correlation(
    one: Float[np.ndarray, " sample"], other: Float[np.ndarray, " sample"]
) -> float | None:
    """Pearson's, of the changes by adding and by removing; None where one of them is constant."""
    if min(one.std(), other.std()) < 1e-9:
        return None
    return float(np.clip(np.corrcoef(one, other)[0, 1], -1, 1))
