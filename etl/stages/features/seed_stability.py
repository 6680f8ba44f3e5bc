"""Stage `seed_stability`: what turns again when the data come in another order (beside 4.1, 4.2).

    seed_stability.0.parquet        per layer and feature
    seed_set.0.parquet              per set of features

Needs more than one of `adapt.seeds`. Of every seed there are cosines, of the regime text and of its
controls, so adapted and turned by vision are judged anew in each; E_v, the shift on a skill's
questions and neutral prompts are measured of the first seed's dictionaries alone.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.dictionary.adapt import (
    adapt_stages,
    trained_regimes,
    training_facts,
)
from feature_atlas.etl.stages.dictionary.adapt_stream import REPEATED
from feature_atlas.etl.stages.features.feature_choice import (
    Feature,
    candidates_of,
    survivors_of,
)
from feature_atlas.etl.stages.features.selection import (
    adapted_by,
    beyond_language_by,
    beyond_null_by,
    by_layer,
)
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.excess_rotation import Rotation, excess_rotation
from feature_atlas.features.seed_stability import Members, cosine_spread, reproduction
from feature_atlas.features.selection import turned_by_vision


class Seed(NamedTuple):
    """What is said of all features when trained in one order."""

    cosine: np.ndarray
    """Of the regime text, [layer, d_sae]."""
    adapted: Members
    turned: Members | None
    """By vision; None without both controls."""


def run_seed_stability(run: Path) -> Stage:
    """A row per layer and feature, and rows per set; none with one seed."""
    study = open_study(run)
    regimes = [regime for regime in trained_regimes(study) if regime in REPEATED]
    return run_stage(
        run,
        "seed_stability",
        params={"seeds": list(study.config.adapt.seeds)},
        reads=[
            *("visual_energy", "selection", "firing_shift", "neutral_prompt"),
            *adapt_stages(study, *regimes),
        ],
        body=lambda output: _write(output, study),
    )


def _write(output: StageOutput, study: Study) -> None:
    n_seeds = len(study.config.adapt.seeds)
    if n_seeds < 2:
        return
    energy = by_layer(study, "visual_energy", "visual_energy", "energy_question")
    seeds = [_judged(study, seed_no, energy) for seed_no in range(n_seeds)]
    output.table("seed_stability", _features(study, seeds))
    output.table("seed_set", _sets(study, seeds))


def _judged(study: Study, seed_no: int, energy: np.ndarray) -> Seed:
    """By the rules of `selection`."""
    config = study.config.selection
    rotation = {
        regime: _rotation(study, regime, seed_no)
        for regime in REPEATED
        if regime in trained_regimes(study)
    }
    text = rotation["text"]
    adapted = adapted_by(config, text.cosine, energy)
    if rotation.keys() != set(REPEATED):
        return Seed(text.cosine, adapted, None)
    excess = excess_rotation(text, rotation["refit"])
    is_beyond_null = beyond_null_by(config, excess.excess, excess.q_value)
    is_beyond_language = beyond_language_by(config, text, rotation["language"], rotation["refit"])
    return Seed(text.cosine, adapted, turned_by_vision(adapted, is_beyond_null, is_beyond_language))


def _rotation(study: Study, regime: str, seed_no: int) -> Rotation:
    facts = [training_facts(study, regime, layer, seed_no) for layer in study.layers]
    return Rotation(*(np.stack([fact[name] for fact in facts]) for name in Rotation._fields))


def _features(study: Study, seeds: list[Seed]) -> dict[str, Any]:
    spread = cosine_spread([seed.cosine for seed in seeds])
    n_layers, d_sae = spread.mean.shape
    turned = [seed.turned for seed in seeds if seed.turned is not None]
    columns = {
        "layer": np.repeat(np.array(study.layers, np.int16), d_sae),
        "feature": np.tile(np.arange(d_sae, dtype=np.int32), n_layers),
        "n_seeds": np.full(n_layers * d_sae, len(seeds), np.int64),
        "cosine_mean": spread.mean.ravel(),
        "cosine_sd": spread.deviation.ravel(),
        "cosine_low": spread.low.ravel(),
        "cosine_high": spread.high.ravel(),
        "n_seeds_adapted": np.sum([seed.adapted for seed in seeds], axis=0).ravel(),
    }
    if turned:
        columns["n_seeds_turned_by_vision"] = np.sum(turned, axis=0).ravel()
    return columns


def _sets(study: Study, seeds: list[Seed]) -> dict[str, Any]:
    adapted = [seed.adapted for seed in seeds]
    turned = [seed.turned for seed in seeds if seed.turned is not None]
    found = {"adapted": reproduction(adapted)}
    if turned:
        found["turned by vision"] = reproduction(turned)
    for skill in study.config.harvest.skills:
        for name, features_of in (("candidates", candidates_of), ("survivors", survivors_of)):
            chosen = _members(study, features_of(study, skill), like=adapted[0])
            found[f"{skill} {name}"] = reproduction(adapted, also=chosen)
    rows = [
        (name, n_seeds, int(n), None if np.isnan(share) else share, chance)
        for name, of in found.items()
        for n_seeds, (n, share, chance) in enumerate(zip(*of, strict=True), start=1)
    ]
    names = ("feature_set", "n_seeds", "n_features", "share", "share_by_chance")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def _members(study: Study, features: list[Feature], like: Members) -> Members:
    members = np.zeros_like(like)
    for layer, feature in features:
        members[study.layers.index(layer), feature] = True
    return members
