"""Effects on the answers to one set of questions, and the columns that all tables of them have."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from feature_atlas.ablation.ablation_effect import AblationEffect, Interaction, ablation_effects
from feature_atlas.etl.stages.ablation.evaluation_sets import EvaluationSet, images_of, labels_of
from feature_atlas.etl.study import Study
from feature_atlas.statistics.paired_power import detectable_delta
from feature_atlas.statistics.uncertainty import benjamini_hochberg


def answer_effects(
    study: Study,
    evaluation: EvaluationSet,
    before: Float[np.ndarray, " sample"],
    after: Float[np.ndarray, "edit sample"],
) -> list[AblationEffect]:
    """Of each edit, from margins of yes over no."""
    return ablation_effects(
        labels_of(study, evaluation), before, after, images_of(study, evaluation),
        seed=study.config.seed, n_draws=study.config.ablation.n_bootstrap,
    )  # fmt: skip


def effect_columns(
    seed: int, effects: Sequence[AblationEffect], removed_norms: Sequence[float]
) -> dict[str, Any]:
    """What was found, as it is."""
    return {
        "seed": np.full(len(effects), seed, np.int32),
        **{
            name: np.array([getattr(effect, name) for effect in effects])
            for name in AblationEffect._fields
        },
        "removed_norm": np.array(removed_norms, np.float64),
    }


def interaction_columns(found: Sequence[Interaction | None], name: str) -> dict[str, Any]:
    """A difference of effects, and its interval; none where it is not of interest."""
    return {
        name: [one and one.difference for one in found],
        f"{name}_low": [one and one.low for one in found],
        f"{name}_high": [one and one.high for one in found],
    }


def q_values(
    effects: Sequence[AblationEffect], families: Sequence[Hashable | None]
) -> list[float | None]:
    """Benjamini-Hochberg within each family; what is in none, such as a control, has no value."""
    found: list[float | None] = [None] * len(effects)
    for family in set(families) - {None}:
        members = [i for i, one in enumerate(families) if one == family]
        adjusted = benjamini_hochberg([effects[i].mcnemar_p for i in members])
        for i, q in zip(members, adjusted, strict=True):
            found[i] = float(q)
    return found


def detectable_deltas(effects: Sequence[AblationEffect]) -> list[float | None]:
    """What each set of answers could have shown."""
    return [
        detectable_delta(effect.n_samples, effect.right_to_wrong + effect.wrong_to_right)
        for effect in effects
    ]
