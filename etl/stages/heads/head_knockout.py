"""Stage `head_knockout`: a feature's strongest heads taken away together (paper 5.2, C; 5.3).

Scored on the statements of the test split about the feature's relation, as an ablation is. Random
sets of heads that look at the picture as much are taken away for comparison.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from feature_atlas.ablation.ablation_effect import AblationEffect
from feature_atlas.ablation.yes_no import yes_no_ids
from feature_atlas.dictionary.sae import Encoder, unit_directions
from feature_atlas.etl.config.causes import Corruption
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, Warnings, run_stage
from feature_atlas.etl.stages.ablation.answer_effects import answer_effects, q_values
from feature_atlas.etl.stages.ablation.evaluation_sets import (
    SCORED,
    EvaluationSet,
    can_be_scored,
    images_of,
    relation_sets,
)
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages, adapted_sae
from feature_atlas.etl.stages.features.feature_choice import Feature, by_layer_of
from feature_atlas.etl.stages.features.top_samples import relation_of
from feature_atlas.etl.stages.heads.clean_and_corrupt import (
    CleanAndCorrupt,
    asked,
    clean_and_corrupt,
)
from feature_atlas.etl.stages.heads.corrupted_samples import with_other_picture
from feature_atlas.etl.stages.heads.exact_patch import SWAPPED
from feature_atlas.etl.stages.heads.head_drives import Drives, head_drives, strongest
from feature_atlas.etl.study import Study, open_study
from feature_atlas.heads.head_knockout import (
    Question,
    Readout,
    image_mass,
    matched_heads,
    read_out,
    read_out_without,
)
from feature_atlas.heads.objective_positions import role_positions
from feature_atlas.statistics.uncertainty import Interval, clustered_bootstrap
from feature_atlas.vlm.head_probe import Head, record_heads
from feature_atlas.vlm.token_roles import Role

UNTOUCHED, CORRUPT = "untouched", "corrupt"
STORED = (
    "n_samples", "accuracy_before", "accuracy_after", "delta_accuracy", "delta_low", "delta_high",
    "right_to_wrong", "wrong_to_right", "mcnemar_p", "probability_delta", "margin_delta",
    "margin_low", "margin_high", "yes_rate_before", "yes_rate_after", "balanced_accuracy_before",
    "balanced_accuracy_after",
)  # fmt: skip
"""Of AblationEffect."""


class Cut(NamedTuple):
    """One set of heads and what is taken of them; a row of table head_knockout."""

    part: str
    control_no: int
    heads: tuple[Head, ...]
    mass: float


class Asked(NamedTuple):
    """A shard: one feature, and what takes the picture's place."""

    feature: Feature
    corruption: Corruption


class Row(NamedTuple):
    """One row of table head_knockout."""

    feature: Feature
    corruption: Corruption
    relation: str | None
    cut: Cut
    effect: AblationEffect
    projection: Interval
    means: dict[str, float]


def run_head_knockout(run: Path) -> Stage:
    """Knock out the strongest heads of some attributed features, and their controls."""
    study = open_study(run)
    return run_stage(
        run,
        "head_knockout",
        params={
            **study.config.head_knockout.model_dump(),
            **asked(study),
            "scored_on": SCORED,
            "n_bootstrap": study.config.ablation.n_bootstrap,
        },
        reads=[
            "samples",
            "head_attribution",
            "mean_image",
            "harvest",
            *adapt_stages(study, "text"),
        ],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    parts = [
        Asked(feature, corruption)
        for corruption in study.config.head_attribution.corruption
        for feature in _features(study, corruption)
    ]
    rows = output.rows_in_shards(knock_out, parts, "head knock-out")
    if rows:
        output.table("head_knockout", _columns(study, rows))
    _warn_of_controls(output, rows)


def _features(study: Study, corruption: Corruption) -> list[Feature]:
    """Some of those with a relation, by layer."""
    drives = head_drives(study, "qk_fix", corruption)
    related = [f for f in drives if relation_of(study, f) is not None]
    features = related[: study.config.head_knockout.max_features]
    return [Feature(layer, f) for layer, of in by_layer_of(features).items() for f in of]


def knock_out(run: Path, asked_of: Asked) -> tuple[list[Row], list[str]]:
    """A feature's strongest heads and every control, on all statements; and warnings."""
    study, said = open_study(run), Warnings()
    feature, corruption = Feature(*asked_of[0]), asked_of[1]
    ((whole, _),) = relation_sets(study, feature.layer, [feature.feature], [SCORED])
    numbers = with_other_picture(study, corruption, whole.numbers)
    evaluation = whole._replace(numbers=tuple(numbers))
    if len(numbers) < len(whole.numbers):
        said.warn(
            f"{len(whole.numbers) - len(numbers)} of {len(whole.numbers)} statements of relation "
            f"{whole.relation!r} have no picture with the opposite answer: no heads are knocked "
            "out there"
        )
    if not can_be_scored(study, said, evaluation):
        return [], said.warnings
    question = _question(study, feature)
    drives = head_drives(study, "qk_fix", corruption)[feature]
    cuts: list[Cut] = []
    parts: dict[Cut | str, list[Readout]] = {}
    for prompts in clean_and_corrupt(study, numbers, study.batch_size, corruption):
        cuts = cuts or _cuts(study, feature, drives, prompts)
        for cut, found in _read_batch(study, question, prompts, cuts).items():
            parts.setdefault(cut, []).append(found)
    runs = {
        cut: Readout(*(torch.cat(column).cpu() for column in zip(*found, strict=True)))
        for cut, found in parts.items()
    }
    return _rows(study, Asked(feature, corruption), evaluation, cuts, runs), said.warnings


def _question(study: Study, feature: Feature) -> Question:
    dictionary = adapted_sae(study, "text", feature.layer)
    return Question(
        feature.layer,
        feature.feature,
        unit_directions(dictionary)[feature.feature],
        Encoder.of(dictionary),
        yes_no_ids(study.vlm.processor.tokenizer),
    )


def _cuts(study: Study, feature: Feature, drives: Drives, prompts: CleanAndCorrupt) -> list[Cut]:
    """The strongest heads by the mean of both methods with the QK fix, and matched sets."""
    config = study.config.head_knockout
    drive = drives.mean(0)
    top = strongest(drive, min(config.n_heads, drive.size // 2))
    roles = prompts.batch.roles
    mass = image_mass(
        study.vlm.model,
        prompts.clean(study.vlm.model),
        role_positions(roles, "text"),
        roles == Role.IMAGE,
        feature.layer,
    ).cpu()
    seed = study.config.seed + feature.feature
    sets = [top, *matched_heads(top, mass.numpy(), n_sets=config.n_controls, seed=seed)]
    return [
        Cut(part, number, tuple(heads), float(np.mean([float(mass[head]) for head in heads])))
        for part in config.parts
        for number, heads in enumerate(sets)
    ]


@torch.no_grad()
def _read_batch(
    study: Study, question: Question, prompts: CleanAndCorrupt, cuts: list[Cut]
) -> dict[Cut | str, Readout]:
    """Feature and answers, untouched, without the picture, and under every cut."""
    model, text = study.vlm.model, role_positions(prompts.batch.roles, "text")
    clean, corrupt = prompts.clean(model), prompts.corrupt(model)
    donor = record_heads(model, corrupt, [question.layer])
    found: dict[Cut | str, Readout] = {
        UNTOUCHED: read_out(model, clean, text, question),
        CORRUPT: read_out(model, corrupt, text, question),
    }
    for cut in cuts:
        found[cut] = read_out_without(
            model, clean, donor, text, question, heads=cut.heads, parts=SWAPPED[cut.part]
        )
    return found


def _rows(
    study: Study,
    asked_of: Asked,
    evaluation: EvaluationSet,
    cuts: list[Cut],
    runs: dict[Cut | str, Readout],
) -> list[Row]:
    before, corrupt = runs[UNTOUCHED], runs[CORRUPT]
    effects = answer_effects(
        study,
        evaluation,
        before.margin.float().numpy(),
        torch.stack([runs[cut].margin for cut in cuts]).float().numpy(),
    )
    changes = torch.stack([runs[cut].projection - before.projection for cut in cuts], dim=1)
    ends = clustered_bootstrap(
        changes.double().numpy(), images_of(study, evaluation),
        n_draws=study.config.ablation.n_bootstrap, seed=study.config.seed,
    )  # fmt: skip
    return [
        Row(
            *asked_of,
            evaluation.relation,
            cut,
            effects[i],
            Interval(ends.low[i], ends.high[i]),
            _means(before, runs[cut], corrupt),
        )
        for i, cut in enumerate(cuts)
    ]


def _means(before: Readout, after: Readout, corrupt: Readout) -> dict[str, float]:
    """Over statements: what the feature was, became, and would be without the picture."""

    def mean(values: Tensor) -> float:
        return float(values.double().mean())

    return {
        "projection_before": mean(before.projection),
        "projection_after": mean(after.projection),
        "projection_corrupt": mean(corrupt.projection),
        "activation_before": mean(before.activation),
        "activation_after": mean(after.activation),
        "activation_corrupt": mean(corrupt.activation),
    }


def _warn_of_controls(output: StageOutput, rows: list[Row]) -> None:
    """Where few heads look at the picture, there may be no others to match the strongest with."""
    masses: dict[tuple[Feature, str, Corruption], list[float]] = {}
    for row in rows:
        masses.setdefault((row.feature, row.cut.part, row.corruption), []).append(row.cut.mass)
    n_poor = sum(np.mean(mass[1:]) < mass[0] / 2 for mass in masses.values() if len(mass) > 1)
    if n_poor:
        output.warn(
            f"of {len(masses)} knock-outs {n_poor} have controls that look at the picture less "
            "than half as much: no other heads look at it more"
        )


def _columns(study: Study, rows: list[Row]) -> dict[str, object]:
    n = len(rows)
    effects = {name: np.array([getattr(row.effect, name) for row in rows]) for name in STORED}
    return {
        "layer": np.array([row.feature.layer for row in rows], np.int16),
        "feature": np.array([row.feature.feature for row in rows], np.int32),
        "part": [row.cut.part for row in rows],
        "corruption": [row.corruption for row in rows],
        "control_no": np.array([row.cut.control_no for row in rows], np.int16),
        "relation": [row.relation for row in rows],
        "heads": [[f"L{layer}H{head}" for layer, head in row.cut.heads] for row in rows],
        "image_mass": np.array([row.cut.mass for row in rows]),
        **{name: np.array([row.means[name] for row in rows]) for name in rows[0].means},
        "projection_delta_low": np.array([float(row.projection.low) for row in rows]),
        "projection_delta_high": np.array([float(row.projection.high) for row in rows]),
        "seed": np.full(n, study.config.seed, np.int32),
        **effects,
        # over a part's features under one corruption; controls have none
        "q_value": q_values(
            [row.effect for row in rows],
            [(row.cut.part, row.corruption) if row.cut.control_no == 0 else None for row in rows],
        ),
    }
