"""Which features a stage looks at: candidates, survivors, a choice of both (paper 4.3, 5)."""

from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from feature_atlas.etl.run_folder.artifacts import read_rows
from feature_atlas.etl.stages.features.firing_shift import LOW
from feature_atlas.etl.stages.features.selection import by_layer, is_adapted
from feature_atlas.etl.study import Study


class Feature(NamedTuple):
    """One feature of the run."""

    layer: int
    feature: int


def candidates_of(study: Study, skill: str) -> list[Feature]:
    """Adapted features that the skill recruits, by layer and feature."""
    shifted = by_layer(study, "firing_shift", "firing_shift", "is_candidate", skill=skill)
    where = np.argwhere(shifted & is_adapted(study))
    return [Feature(study.layers[row], int(feature)) for row, feature in where]


def survivors_of(study: Study, skill: str) -> list[Feature]:
    """Candidates that survive neutral prompts, those with the highest odds ratio first."""
    rows = read_rows(study.run, "neutral_prompt", "candidate")
    kept = [
        Feature(r["layer"], r["feature"]) for r in rows if r["skill"] == skill and r["survives"]
    ]
    column = LOW[study.config.selection.interval]
    low = by_layer(study, "firing_shift", "firing_shift", column, skill=skill)
    return sorted(kept, key=lambda f: -low[study.layers.index(f.layer), f.feature])


def chosen_features(study: Study, max_features: int) -> list[Feature]:
    """What the costly stages look at: ablated features, then survivors, then other candidates."""
    others = [f for skill in study.config.harvest.skills for f in candidates_of(study, skill)]
    return list(dict.fromkeys([*studied_features(study), *others]))[:max_features]


def studied_features(study: Study) -> list[Feature]:
    """Ablated features, and survivors of every skill, taking turns between skills."""
    rows = read_rows(study.run, "ablation", "ablation")
    ablated = [Feature(r["layer"], r["feature"]) for r in rows if r["control_no"] == 0]
    ranked = [survivors_of(study, skill) for skill in study.config.harvest.skills]
    turns = [f for turn in zip_longest(*ranked) for f in turn if f is not None]
    return list(dict.fromkeys([*ablated, *turns]))


def adapted_features(study: Study, at_most: int) -> dict[int, list[int]]:
    """Adapted features by layer, so many of each: candidates first, then by their energy."""
    candidates = {f for skill in study.config.harvest.skills for f in candidates_of(study, skill)}
    energy = by_layer(study, "visual_energy", "visual_energy", "energy_question")
    found = {}
    for layer, adapted, strength in zip(study.layers, is_adapted(study), energy, strict=True):
        features = np.flatnonzero(adapted)
        is_other = [Feature(layer, int(feature)) not in candidates for feature in features]
        order = np.lexsort((-strength[features], is_other))[:at_most]
        found[layer] = sorted(features[order].tolist())
    return found


def by_layer_of(features: list[Feature]) -> dict[int, list[int]]:
    """Feature numbers grouped by layer, in order."""
    grouped: dict[int, list[int]] = {}
    for layer, feature in features:
        grouped.setdefault(layer, []).append(feature)
    return grouped
