"""Stage `supervised_steering`: adding a direction that labels found, as features are (beside 5.3).

The same strengths on the same statements. A feature's unit is its mean activation where it fires;
a direction always has a part in the residual, and its unit is the standard deviation of that part
over the text tokens of base questions.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from feature_atlas.ablation.ablation_effect import AblationEffect
from feature_atlas.ablation.intervention import addition, directional
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, Warnings, run_stage
from feature_atlas.etl.stages.ablation.answer_effects import (
    answer_effects,
    detectable_deltas,
    effect_columns,
)
from feature_atlas.etl.stages.ablation.evaluation_sets import (
    SCORED,
    can_be_scored,
    statements_of,
)
from feature_atlas.etl.stages.ablation.interventions import base_residual
from feature_atlas.etl.stages.ablation.steering import mirror_correlation
from feature_atlas.etl.stages.ablation.supervised_direction import as_direction, read_directions
from feature_atlas.etl.stages.ablation.yes_no_margins import margins_of
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages
from feature_atlas.etl.study import Study, open_study
from feature_atlas.statistics.uncertainty import benjamini_hochberg


class Row(NamedTuple):
    """One row of table `supervised_steering`."""

    of: dict[str, Any]
    """The direction's row of table `supervised_direction`."""
    alpha: float
    length: float
    effect: AblationEffect
    removed_norm: float
    yes_delta: float
    """Margin of yes over no, after minus before, mean."""
    yes_delta_removed: float
    """The same when the direction is removed."""
    mirror: float | None


def run_supervised_steering(run: Path) -> Stage:
    """Every strength of each direction on the test statements of its relation."""
    study = open_study(run)
    return run_stage(
        run,
        "supervised_steering",
        params={
            **study.config.steering.model_dump(include={"alphas", "n_statements"}),
            "n_bootstrap": study.config.ablation.n_bootstrap,
            "seed": study.config.seed,
        },
        reads=["supervised_direction", *adapt_stages(study, "text")],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    places = list(range(len(read_directions(study))))
    rows = output.rows_in_shards(steer, places, "directions added")
    if rows:
        output.table("supervised_steering", _columns(study.config.seed, rows))


def steer(run: Path, place: int) -> tuple[list[Row], list[str]]:
    """A shard: every strength of one direction; and warnings."""
    study, said = open_study(run), Warnings()
    of, vector, _ = read_directions(study)[place]
    config, layer, direction = study.config, of["layer"], as_direction(study, vector)
    evaluation = statements_of(study, of["relation"], [SCORED]).first(config.steering.n_statements)
    if not can_be_scored(study, said, evaluation):
        return [], said.warnings
    unit = float((base_residual(study, layer) @ direction).double().std())
    lengths = [alpha * unit for alpha in config.steering.alphas]
    edits = [directional(direction), *(addition(direction, length) for length in lengths)]
    margins = margins_of(study, layer, edits, evaluation)
    before, after = margins.before.double().numpy(), margins.after.double().numpy()
    effects = answer_effects(study, evaluation, before, after)
    moved, shares = after - before, margins.removed_norm.tolist()
    rows = [
        Row(
            of, alpha, length, effects[i], shares[i],
            float(moved[i].mean()), float(moved[0].mean()), mirror_correlation(moved[i], moved[0]),
        )
        for i, (alpha, length) in enumerate(zip(config.steering.alphas, lengths, strict=True), 1)
    ]  # fmt: skip
    return rows, said.warnings


def _columns(seed: int, rows: list[Row]) -> dict[str, Any]:
    effects = [row.effect for row in rows]
    return {
        **{name: [row.of[name] for row in rows] for name in ("relation", "contrast", "method")},
        "layer": np.array([row.of["layer"] for row in rows], np.int16),
        "alpha": np.array([row.alpha for row in rows], np.float32),
        "length": np.array([row.length for row in rows]),
        "yes_margin_delta": np.array([row.yes_delta for row in rows]),
        "yes_margin_delta_removed": np.array([row.yes_delta_removed for row in rows]),
        "mirror_correlation": [row.mirror for row in rows],
        **effect_columns(seed, effects, [row.removed_norm for row in rows]),
        "q_value": benjamini_hochberg([effect.mcnemar_p for effect in effects]),
        "detectable_delta": detectable_deltas(effects),
    }
