"""Stage `spatial_code_ablation`: what of a feature's effect is a code of places (beside 5.3).

On the held-out statements of its relation, at the feature's layer and the same tokens, are removed:
the feature's direction; what of it is orthogonal to the code; the code; and both. If both together
break no more than the code, the feature's effect was the code's. Controls are codes of places that
were dealt out anew.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from feature_atlas.ablation.ablation_effect import (
    AblationEffect,
    AnswerChanges,
    answer_changes,
)
from feature_atlas.ablation.intervention import Edit, directional, span_removal
from feature_atlas.ablation.spatial_code import Remaining, code_share, outside, remaining
from feature_atlas.dictionary.sae import unit_directions
from feature_atlas.etl.run_folder.artifacts import (
    Stage,
    StageOutput,
    Warnings,
    run_stage,
)
from feature_atlas.etl.stages.ablation.ablation_screening import removed_with_relation
from feature_atlas.etl.stages.ablation.answer_effects import (
    answer_effects,
    detectable_deltas,
    effect_columns,
    q_values,
)
from feature_atlas.etl.stages.ablation.evaluation_sets import (
    SCORED,
    EvaluationSet,
    can_be_scored,
    images_of,
    labels_of,
    statements_of,
)
from feature_atlas.etl.stages.ablation.spatial_code import read_codes
from feature_atlas.etl.stages.ablation.supervised_direction import as_direction
from feature_atlas.etl.stages.ablation.yes_no_margins import margins_of
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages, adapted_sae
from feature_atlas.etl.study import Study, open_study


class Asked(NamedTuple):
    """A shard: one feature, and the relation that it is about."""

    layer: int
    feature: int
    relation: str


class Removal(NamedTuple):
    """One thing removed."""

    removed: str
    """feature, outside, code or both."""
    control_no: int
    """0: with the code; 1 and up: with one of shuffled places."""
    code_share: float
    """Of the feature's direction."""


class Row(NamedTuple):
    """One row of table `spatial_code_ablation`."""

    asked: Asked
    removal: Removal
    effect: AblationEffect
    removed_norm: float
    accuracy: Remaining | None
    """What remains of the feature's effect; None: none to have a share of, or not of interest."""
    margin: Remaining | None


def run_spatial_code_ablation(run: Path) -> Stage:
    """Every removal of each chosen feature on the test statements of its relation."""
    study = open_study(run)
    return run_stage(
        run,
        "spatial_code_ablation",
        params={
            "max_features": study.config.spatial_code.max_features,
            "n_bootstrap": study.config.ablation.n_bootstrap,
            "seed": study.config.seed,
        },
        reads=["spatial_code", "ablation", *adapt_stages(study, "text")],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    rows = output.rows_in_shards(score, _chosen(study), "features without codes of places")
    if rows:
        output.table("spatial_code_ablation", _columns(study.config.seed, rows))


def _chosen(study: Study) -> list[Asked]:
    """Removed features that have a relation, the costliest on training statements first."""
    n = study.config.spatial_code.max_features
    if n == 0 or read_codes(study, study.layers[0]) is None:
        return []
    removed = list(removed_with_relation(study).items())
    return [Asked(*feature, relation) for feature, relation in removed[:n]]


def score(run: Path, asked: Asked) -> tuple[list[Row], list[str]]:
    """A shard: every removal of one feature; and warnings."""
    study, asked, said = open_study(run), Asked(*asked), Warnings()
    evaluation = statements_of(study, asked.relation, [SCORED])
    if not can_be_scored(study, said, evaluation):
        return [], said.warnings
    codes = read_codes(study, asked.layer)
    assert codes is not None
    direction = unit_directions(adapted_sae(study, "text", asked.layer))[asked.feature]
    plan = removals_of(study, direction.double().cpu().numpy(), codes)
    margins = margins_of(study, asked.layer, [edit for _, edit in plan], evaluation)
    label = labels_of(study, evaluation)
    before, after = margins.before.double().numpy(), margins.after.double().numpy()
    effects = answer_effects(study, evaluation, before, after)
    changes, shares = answer_changes(label, before, after), margins.removed_norm.tolist()
    removals = [removal for removal, _ in plan]
    rows = [
        Row(
            asked, removal, effects[i], shares[i],
            *_remaining(study, evaluation, changes, removals, i),
        )
        for i, removal in enumerate(removals)
    ]  # fmt: skip
    return rows, said.warnings


def removals_of(
    study: Study,
    direction: Float[np.ndarray, " d_model"],
    codes: Float[np.ndarray, "control row d_model"],
) -> list[tuple[Removal, Edit]]:
    """The feature alone, then with each code: what lies outside of it, it, and both."""
    v = as_direction(study, direction)
    plan: list[tuple[Removal, Edit]] = []
    for number, code in enumerate(codes):
        share, rows = code_share(direction, code), as_direction(study, code)
        if number == 0:
            plan.append((Removal("feature", 0, share), directional(v)))
        rest = as_direction(study, outside(direction, code))
        plan += [
            (Removal("outside", number, share), directional(rest)),
            (Removal("code", number, share), span_removal(rows)),
            (Removal("both", number, share), span_removal(torch.cat([rows, v[None]]))),
        ]
    return plan


def _remaining(
    study: Study,
    evaluation: EvaluationSet,
    changes: AnswerChanges,
    removals: list[Removal],
    place: int,
) -> tuple[Remaining | None, Remaining | None]:
    """Of accuracy and of the margin: what is left of the feature's effect."""
    removed, number, _ = removals[place]
    if removed not in ("outside", "both"):
        return None, None
    found = []
    for change in (changes.right, changes.margin):
        part = change[place]
        if removed == "both":
            code = next(i for i, r in enumerate(removals) if r[:2] == ("code", number))
            part = part - change[code]
        found.append(
            remaining(
                part, change[0], images_of(study, evaluation),
                seed=study.config.seed, n_draws=study.config.ablation.n_bootstrap,
            )
        )  # fmt: skip
    return found[0], found[1]


def _columns(seed: int, rows: list[Row]) -> dict[str, Any]:
    effects, removals = [row.effect for row in rows], [row.removal for row in rows]
    return {
        "layer": np.array([row.asked.layer for row in rows], np.int16),
        "feature": np.array([row.asked.feature for row in rows], np.int32),
        "relation": [row.asked.relation for row in rows],
        "removed": [row.removal.removed for row in rows],
        "control_no": np.array([row.removal.control_no for row in rows], np.int16),
        "code_share": np.array([row.removal.code_share for row in rows]),
        **{
            f"remaining_{what}{end}": [
                one and getattr(one, field) for one in (getattr(row, what) for row in rows)
            ]
            for what in ("accuracy", "margin")
            for end, field in (("", "share"), ("_low", "low"), ("_high", "high"))
        },
        **effect_columns(seed, effects, [row.removed_norm for row in rows]),
        "q_value": q_values(effects, [r.removed if r.control_no == 0 else None for r in removals]),
        "detectable_delta": detectable_deltas(effects),
    }
