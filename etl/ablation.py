"""Stage `ablation`: what breaks without a feature (paper 5.3, D).

Survivors of the neutral prompts are ablated, and beside them the candidates whose removal hurts
most on VSR's train split: the neutral filter may drop features that reasoning needs. A feature's
relation is read off its top statements of the train split too; every ablation is scored on the test
split, so that choosing and scoring use different questions and different pictures. Matched controls
of the same layer answer the same questions.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from feature_atlas.ablation import AblatedMargins
from feature_atlas.ablation_effect import AblationEffect, ablation_effects
from feature_atlas.control import matched_controls, mean_projection
from feature_atlas.etl.adapt import adapted_sae
from feature_atlas.etl.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.chosen import by_layer_of
from feature_atlas.etl.evaluation import SCORED, Evaluation, evaluations_of, questions_of
from feature_atlas.etl.harvest import BASE
from feature_atlas.etl.margins import margins_of
from feature_atlas.etl.neutral_prompt import Feature, candidates_of, survivors_of
from feature_atlas.etl.screening import screened
from feature_atlas.etl.selection import by_layer
from feature_atlas.etl.study import Study, open_study
from feature_atlas.harvest import harvest
from feature_atlas.sae import unit_directions
from feature_atlas.uncertainty import benjamini_hochberg
from feature_atlas.vlm import TEXT_ROLES

SKILL = "spatial"
N_PROJECTION = 256
"""Base questions over which a direction's mean projection is taken to match controls."""


class Row(NamedTuple):
    """One row of table `ablation`."""

    feature: Feature
    evaluation: Evaluation
    control_no: int
    control_feature: int | None
    effect: AblationEffect
    removed_norm: float


def run_ablation(run: Path) -> Stage:
    """Ablate every chosen survivor on its relation and on VQA yes/no, and its controls."""
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
        reads=["samples", "neutral_prompt", "visual_energy", "harvest"],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    features = _targets(study)
    rows: list[Row] = []
    with Progress() as progress:
        bar = progress.add_task("ablation", total=len(features))
        for layer, numbers in by_layer_of(features).items():
            for feature_rows in _ablate_layer(output, study, layer, numbers):
                rows.extend(feature_rows)
            progress.advance(bar, len(numbers))
    if rows:
        output.table("ablation", _columns(study, rows))


def _targets(study: Study) -> list[Feature]:
    """The strongest survivors, then candidates that matter on the training statements."""
    config = study.config.ablation
    survivors = survivors_of(study, SKILL)
    others = [f for f in candidates_of(study, SKILL) if f not in set(survivors)]
    return survivors[: config.max_features] + screened(study, others)[: config.n_screened]


def _ablate_layer(
    output: StageOutput, study: Study, layer: int, features: list[int]
) -> list[list[Row]]:
    """All evaluations of the chosen features of one layer, with their controls."""
    controls = _controls(study, layer, features)
    done = []
    for evaluation, of_evaluation in evaluations_of(study, layer, features):
        chosen = list(of_evaluation)
        if evaluation.relation is not None:
            chosen += [c for f in of_evaluation for c in controls[f]]
        directions = list(dict.fromkeys(chosen))
        margins = margins_of(study, layer, directions, evaluation)
        effects = dict(zip(directions, _effects(study, evaluation, margins), strict=True))
        removed = dict(zip(directions, margins.removed_norm.tolist(), strict=True))
        for f in of_evaluation:
            feature = Feature(layer, f)
            drawn = controls[f] if evaluation.relation is not None else []
            done.append(
                [Row(feature, evaluation, 0, None, effects[f], removed[f])]
                + [
                    Row(feature, evaluation, number, c, effects[c], removed[c])
                    for number, c in enumerate(drawn, start=1)
                ]
            )
            after = margins.after[directions.index(f)]
            _write_outcomes(output, study, feature, evaluation, margins.before, after)
    return done


@torch.no_grad()
def _controls(study: Study, layer: int, features: list[int]) -> dict[int, list[int]]:
    """Matched features of the same layer, none of them a target."""
    directions = unit_directions(adapted_sae(study, "text", layer))
    parts = [
        harvest(study.vlm.model, batch, [layer]).only(TEXT_ROLES).residuals[layer]
        for batch, _ in study.prompts(study.samples[BASE][:N_PROJECTION])
    ]
    projection = mean_projection(torch.cat(parts), directions).cpu().numpy()
    rates = by_layer(study, "visual_energy", "visual_energy", "firing_rate")
    rate = rates[study.layers.index(layer)]
    return {
        f: matched_controls(
            rate,
            projection,
            f,
            n=study.config.ablation.n_controls,
            seed=study.config.seed + f,
            exclude=features,
        ).features
        for f in features
    }


def _effects(study: Study, evaluation: Evaluation, margins: AblatedMargins) -> list[AblationEffect]:
    return ablation_effects(
        np.array([s.answer == "yes" for s in questions_of(study, evaluation)]),
        margins.before.float().numpy(),
        margins.after.float().numpy(),
        study.image_numbers[evaluation.split][evaluation.rows].numpy(),
        seed=study.config.seed,
        n_draws=study.config.ablation.n_bootstrap,
    )


def _columns(study: Study, rows: list[Row]) -> dict[str, object]:
    effects = {
        name: np.array([getattr(row.effect, name) for row in rows])
        for name in AblationEffect._fields
    }
    return {
        "layer": np.array([row.feature.layer for row in rows], np.int16),
        "feature": np.array([row.feature.feature for row in rows], np.int32),
        "evaluation": [row.evaluation.name for row in rows],
        "relation": [row.evaluation.relation for row in rows],
        "intervention": ["directional"] * len(rows),
        "control_no": np.array([row.control_no for row in rows], np.int16),
        "control_feature": [row.control_feature for row in rows],
        "seed": np.full(len(rows), study.config.seed, np.int32),
        **effects,
        "q_value": _q_values(rows),
        "removed_norm": np.array([row.removed_norm for row in rows]),
    }


def _q_values(rows: list[Row]) -> list[float | None]:
    """Benjamini-Hochberg over the targets of each evaluation; controls have none."""
    q_values: list[float | None] = [None] * len(rows)
    for name in {row.evaluation.name for row in rows}:
        targets = [i for i, r in enumerate(rows) if r.evaluation.name == name and r.control_no == 0]
        adjusted = benjamini_hochberg([rows[i].effect.mcnemar_p for i in targets])
        for i, q in zip(targets, adjusted, strict=True):
            q_values[i] = float(q)
    return q_values


def _write_outcomes(
    output: StageOutput,
    study: Study,
    feature: Feature,
    evaluation: Evaluation,
    before: Tensor,
    after: Tensor,
) -> None:
    samples = questions_of(study, evaluation)
    first, n = study.first_number[evaluation.split], len(samples)
    output.table(
        "ablation_outcome",
        {
            "layer": np.full(n, feature.layer, np.int16),
            "feature": np.full(n, feature.feature, np.int32),
            "evaluation": [evaluation.name] * n,
            "sample": np.array(evaluation.rows, np.int64) + first,
            "label": [s.answer == "yes" for s in samples],
            "margin_before": before.float().numpy(),
            "margin_after": after.float().numpy(),
        },
    )
