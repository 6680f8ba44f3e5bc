"""Stage `supervised_direction`: what labels find where features were found without (beside 5.3).

For each relation of a removed feature two contrasts of training statements: about the relation or
about others, and true or false. Each gives a direction by either method in every layer; the layer
is the one where its removal costs most on training statements, as features are screened. Held-out
statements tell how well the direction reads, and later stages what breaks without it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from feature_atlas.ablation.ablation_effect import answer_changes
from feature_atlas.ablation.intervention import directional
from feature_atlas.ablation.supervised_direction import (
    METHODS,
    area_under_curve,
    supervised_direction,
)
from feature_atlas.dictionary.sae import unit_directions
from feature_atlas.etl.inputs.samples import draw
from feature_atlas.etl.run_folder.artifacts import (
    Stage,
    StageOutput,
    Warnings,
    read_arrays,
    read_rows,
    run_stage,
)
from feature_atlas.etl.stages.ablation.ablation_screening import Cost, removed_with_relation
from feature_atlas.etl.stages.ablation.evaluation_sets import (
    SCORED,
    EvaluationSet,
    labels_of,
    other_relations,
    statements_of,
)
from feature_atlas.etl.stages.ablation.yes_no_margins import margins_of
from feature_atlas.etl.stages.dictionary.adapt import adapt_stages, adapted_sae
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.features.skills import STATEMENTS
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.study import Study, open_study
from feature_atlas.vlm.harvest import harvest
from feature_atlas.vlm.token_roles import TEXT_ROLES

Residuals = dict[int, Float[np.ndarray, "statement d_model"]]
"""Mean over the text tokens of each statement, by layer."""


class Labelled(NamedTuple):
    """Statements of one contrast."""

    contrast: str
    numbers: tuple[int, ...]
    is_yes: Bool[np.ndarray, " statement"]


class Direction(NamedTuple):
    """One row of table `supervised_direction`, and what it is about."""

    relation: str
    contrast: str
    method: str
    layer: int
    n_positive: int
    n_negative: int
    cost: Cost
    """Of its removal, on training statements of the relation."""
    auc_train: float | None
    auc_held_out: float | None
    nearest_feature: int
    nearest_cosine: float
    vector: Float[np.ndarray, " d_model"]
    """Of length 1."""
    shuffled: list[Float[np.ndarray, " d_model"]]
    """Found likewise after the labels were shuffled."""


def run_supervised_direction(run: Path) -> Stage:
    """A row per relation, contrast and method."""
    study = open_study(run)
    return run_stage(
        run,
        "supervised_direction",
        params={**study.config.supervised.model_dump(), "seed": study.config.seed},
        reads=["samples", "ablation", *adapt_stages(study, "text")],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    relations = list(strongest_features(study))
    found = output.rows_in_shards(find, relations, "directions from labels")
    if found:
        output.table("supervised_direction", _columns(found))
        output.arrays(
            "directions",
            vector=np.stack([one.vector for one in found]),
            shuffled=np.array([one.shuffled for one in found]).reshape(
                len(found), -1, len(found[0].vector)
            ),
        )


def strongest_features(study: Study) -> dict[str, Feature]:
    """The removed feature that costs most on training statements, by its relation."""
    if study.config.supervised.max_relations == 0:
        return {}
    found: dict[str, Feature] = {}
    for feature, relation in removed_with_relation(study).items():
        found.setdefault(relation, feature)
    return dict(list(found.items())[: study.config.supervised.max_relations])


def read_directions(study: Study) -> list[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
    """Rows of the table with the direction and its shuffled ones; none if nothing was found."""
    rows = read_rows(study.run, "supervised_direction", "supervised_direction")
    if not rows:
        return []
    kept = read_arrays(study.run, "supervised_direction", "directions")
    return list(zip(rows, kept["vector"], kept["shuffled"], strict=True))


def find(run: Path, relation: str) -> tuple[list[Direction], list[str]]:
    """A shard: every contrast and method of one relation; and warnings."""
    study, said = open_study(run), Warnings()
    held_out, training = held_out_statements(study, relation), training_statements(study, relation)
    # those of the relation come first in both contrasts
    x = statement_residuals(study, max((one.numbers for one in training), key=len), study.layers)
    found = [
        _at_best_layer(
            study,
            relation,
            labelled,
            {layer: of_all[: len(labelled.numbers)] for layer, of_all in x.items()},
            held_out[labelled.contrast],
        )
        for labelled in training
        if _can_be_told(said, relation, labelled)
    ]
    return [one for of_contrast in found for one in of_contrast], said.warnings


def training_statements(study: Study, relation: str) -> list[Labelled]:
    """Both contrasts, of the train split alone."""
    n, seed, first = study.config.supervised.n_train, study.config.seed, study.first_number
    numbered = list(enumerate(study.samples[STATEMENTS], start=first[STATEMENTS]))
    own = draw([number for number, s in numbered if s.relation == relation], n, seed)
    others = draw([number for number, s in numbered if s.relation != relation], n, seed)
    return _contrasts(study, relation, own, others)


def held_out_statements(study: Study, relation: str) -> dict[str, Labelled]:
    """Both contrasts, of the test split alone: the statements on which removals are scored."""
    own = statements_of(study, relation, [SCORED]).numbers
    others = other_relations(study, relation, study.config.ablation.n_other).numbers
    return {one.contrast: one for one in _contrasts(study, relation, own, others)}


def _contrasts(
    study: Study, relation: str, own: Sequence[int], others: Sequence[int]
) -> list[Labelled]:
    is_own = np.array([True] * len(own) + [False] * len(others))
    return [
        Labelled("relation", (*own, *others), is_own),
        Labelled(
            "truth", tuple(own), labels_of(study, EvaluationSet("", relation, tuple(own)))
        ),
    ]  # fmt: skip


def _can_be_told(said: Warnings, relation: str, labelled: Labelled) -> bool:
    n, n_positive = len(labelled.is_yes), int(labelled.is_yes.sum())
    if min(n_positive, n - n_positive) < 2:
        said.warn(
            f"no direction was found for {relation!r}, contrast {labelled.contrast}: of {n} "
            f"training statements {n_positive} are yes, and two of each kind are needed"
        )
        return False
    return True


def _at_best_layer(
    study: Study, relation: str, labelled: Labelled, x: Residuals, held_out: Labelled
) -> list[Direction]:
    """By either method, in the layer where the removal costs most on training statements."""
    vectors = {
        layer: [supervised_direction(method, x[layer], labelled.is_yes) for method in METHODS]
        for layer in study.layers
    }
    costs = {layer: _costs(study, relation, layer, vectors[layer]) for layer in study.layers}
    layers = [max(study.layers, key=lambda at: costs[at][place]) for place in range(len(METHODS))]
    unseen = statement_residuals(study, held_out.numbers, sorted(set(layers)))
    found = []
    for place, (method, layer) in enumerate(zip(METHODS, layers, strict=True)):
        vector = vectors[layer][place]
        nearest, cosine = _nearest(study, layer, vector)
        dice = np.random.default_rng(study.config.seed)
        shuffled = [
            supervised_direction(method, x[layer], dice.permutation(labelled.is_yes))
            for _ in range(study.config.supervised.n_shuffled)
        ]
        found.append(
            Direction(
                relation, labelled.contrast, method, layer,
                int(labelled.is_yes.sum()), int((~labelled.is_yes).sum()), costs[layer][place],
                area_under_curve(x[layer] @ vector, labelled.is_yes),
                area_under_curve(unseen[layer] @ vector, held_out.is_yes),
                nearest, cosine, vector, shuffled,
            )
        )  # fmt: skip
    return found


def statement_residuals(study: Study, numbers: Sequence[int], layers: Sequence[int]) -> Residuals:
    """Of the samples of these local numbers, in order; float64."""
    parts: dict[int, list[torch.Tensor]] = {layer: [] for layer in layers}
    for batch, rows in study.prompts([sample_of(study, number) for number in numbers]):
        tokens = harvest(study.vlm.model, batch, layers, roles=TEXT_ROLES)
        for layer in layers:
            x = tokens.residuals[layer].double()
            parts[layer] += [x[tokens.prompt == place].mean(0) for place in range(len(rows))]
    return {layer: torch.stack(means).cpu().numpy() for layer, means in parts.items()}


def _costs(study: Study, relation: str, layer: int, vectors: Sequence[np.ndarray]) -> list[Cost]:
    """Of each direction's removal on the training statements on which features are screened."""
    few = statements_of(study, relation, [STATEMENTS]).first(study.config.ablation.n_screen)
    edits = [directional(as_direction(study, vector)) for vector in vectors]
    margins = margins_of(study, layer, edits, few)
    before, after = margins.before.double().numpy(), margins.after.double().numpy()
    changes = answer_changes(labels_of(study, few), before, after)
    return [
        Cost(-float(right.mean()), -float(margin.mean()))
        for right, margin in zip(changes.right, changes.margin, strict=True)
    ]


def as_direction(study: Study, vector: Float[np.ndarray, " d_model"]) -> torch.Tensor:
    """On the run's device, in single precision."""
    return torch.from_numpy(vector).float().to(study.config.device)


def _nearest(study: Study, layer: int, vector: np.ndarray) -> tuple[int, float]:
    """The feature of the adapted dictionary whose direction is nearest, and its cosine."""
    cosines = unit_directions(adapted_sae(study, "text", layer)) @ as_direction(study, vector)
    nearest = int(cosines.argmax())
    return nearest, float(cosines[nearest].clamp(-1, 1))


def _columns(found: list[Direction]) -> dict[str, Any]:
    named = {
        name: [getattr(one, name) for one in found]
        for name in ("relation", "contrast", "method", "auc_train", "auc_held_out")
    }
    return {
        **named,
        "layer": np.array([one.layer for one in found], np.int16),
        "n_positive": np.array([one.n_positive for one in found], np.int64),
        "n_negative": np.array([one.n_negative for one in found], np.int64),
        "accuracy_delta_train": np.array([-one.cost.accuracy for one in found]),
        "margin_delta_train": np.array([-one.cost.margin for one in found]),
        "nearest_feature": np.array([one.nearest_feature for one in found], np.int32),
        "nearest_cosine": np.array([one.nearest_cosine for one in found]),
    }
