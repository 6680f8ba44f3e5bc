"""Rows of tables `ablation` and `ablation_outcome`."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float
from torch import Tensor

from feature_atlas.ablation.ablation_effect import AblationEffect, Interaction
from feature_atlas.ablation.control import control_p_value
from feature_atlas.etl.stages.ablation.answer_effects import (
    detectable_deltas,
    effect_columns,
    interaction_columns,
    q_values,
)
from feature_atlas.etl.stages.ablation.evaluation_sets import EvaluationSet
from feature_atlas.etl.stages.ablation.interventions import Intervention
from feature_atlas.etl.stages.ablation.yes_no_margins import BlindMargins


class Answers(NamedTuple):
    """Every question of one removal: margins of yes over no."""

    label: Bool[np.ndarray, " sample"]
    """Whether yes is right."""
    before: Float[Tensor, " sample"]
    """Untouched."""
    after: Float[Tensor, " sample"]
    """Edited."""
    blind: BlindMargins | None
    """Untouched, without the pictures; None where nobody asked."""


class Row(NamedTuple):
    """One row of table `ablation`."""

    layer: int
    removal: Intervention
    evaluation: EvaluationSet
    effect: AblationEffect
    removed_norm: float
    answers: Answers
    interaction: Interaction | None
    """With other relations; None where it is not of interest."""


def ablation_columns(seed: int, rows: list[Row]) -> dict[str, Any]:
    """All rows of the table."""
    effects = [row.effect for row in rows]
    is_control = [row.removal.control_no > 0 for row in rows]
    return {
        "layer": np.array([row.layer for row in rows], np.int16),
        "feature": np.array([row.removal.feature for row in rows], np.int32),
        "evaluation": [row.evaluation.name for row in rows],
        "relation": [row.evaluation.relation for row in rows],
        "intervention": [row.removal.intervention for row in rows],
        "control_no": np.array([row.removal.control_no for row in rows], np.int16),
        "control_kind": [row.removal.control_kind for row in rows],
        "control_feature": [row.removal.control_feature for row in rows],
        "control_p": _control_p_values(rows),
        **interaction_columns([row.interaction for row in rows], "interaction"),
        "accuracy_mean_image": [_accuracy(row, "mean_image") for row in rows],
        "accuracy_no_image": [_accuracy(row, "no_image") for row in rows],
        **effect_columns(seed, effects, [row.removed_norm for row in rows]),
        "q_value": q_values(
            effects,
            [
                None if control else (row.evaluation.name, row.removal.intervention)
                for row, control in zip(rows, is_control, strict=True)
            ],
        ),
        "detectable_delta": [
            None if control else delta
            for delta, control in zip(detectable_deltas(effects), is_control, strict=True)
        ],
    }


def outcome_columns(row: Row) -> dict[str, Any]:
    """Every question of one removal, untouched and edited."""
    answers, n = row.answers, len(row.answers.label)
    blind: dict[str, Any] = (
        dict.fromkeys(("margin_mean_image", "margin_no_image"), pa.nulls(n, pa.float32()))
        if answers.blind is None
        else {f"margin_{name}": _float32(m) for name, m in answers.blind._asdict().items()}
    )
    return {
        "layer": np.full(n, row.layer, np.int16),
        "feature": np.full(n, row.removal.feature, np.int32),
        "evaluation": [row.evaluation.name] * n,
        "intervention": [row.removal.intervention] * n,
        "sample": np.array(row.evaluation.numbers, np.int64),
        "label": answers.label,
        "margin_before": _float32(answers.before),
        "margin_after": _float32(answers.after),
        **blind,
    }


def _float32(margins: Tensor) -> Float[np.ndarray, " sample"]:
    numbers: np.ndarray = margins.float().numpy()
    return numbers


def _accuracy(row: Row, blind: str) -> float | None:
    if row.answers.blind is None:
        return None
    margins = _float32(getattr(row.answers.blind, blind))
    return float(((margins > 0) == row.answers.label).mean())


def _control_p_values(rows: list[Row]) -> list[float | None]:
    """Where a feature lies among its matched controls on the same questions."""
    of_controls: dict[tuple[int, int, str], list[float]] = {}
    for row in rows:
        if row.removal.control_kind == "matched":
            of_controls.setdefault(_key(row), []).append(row.effect.delta_accuracy)
    return [
        control_p_value(row.effect.delta_accuracy, np.array(of_controls[_key(row)]))
        if _is_feature(row) and _key(row) in of_controls
        else None
        for row in rows
    ]


def _is_feature(row: Row) -> bool:
    return row.removal.control_no == 0 and row.removal.intervention == "directional"


def _key(row: Row) -> tuple[int, int, str]:
    return row.layer, row.removal.feature, row.evaluation.name
