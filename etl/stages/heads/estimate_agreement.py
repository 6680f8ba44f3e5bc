"""Rows of table attribution_agreement: every estimate beside the exact swap (paper 5.2, C)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from feature_atlas.etl.config.causes import Corruption
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.heads.further_rules import n_passes
from feature_atlas.etl.study import Study
from feature_atlas.heads.attribution_agreement import (
    Pairs,
    SampledPairs,
    agreement,
    agreement_ends,
    agreement_within_features,
    agreement_within_layers,
)

METHODS = ("A", "B")
DRIVES = np.array([-1.0, 1.0])
"""What turns a score or effect of methods A and B so that above 0 drives the feature."""
WAYS = {"A": [0], "B": [1], "mean": [0, 1]}
"""Methods that an estimate's name begins with, by their places; mean: of both."""
SCOPES = {
    "all": agreement,
    "within_layer": agreement_within_layers,
    "within_feature": agreement_within_features,
}


class Compared(NamedTuple):
    """One part of one feature's heads, all of them swapped; above 0 drives the feature."""

    feature: Feature
    corruption: Corruption
    part: str
    """What was swapped: qk, v, z."""
    effect: Float64[np.ndarray, "sample method head"]
    """By real patching."""
    estimates: dict[str, Float64[np.ndarray, "sample method head"]]
    """By name: score, fix, and the configured rules."""


def agreements(study: Study, features: Sequence[Compared]) -> dict[str, object]:
    """Every corruption, part, estimate, method and scope, in one order."""
    groups: dict[tuple[Corruption, str], list[Compared]] = {}
    for one in features:
        groups.setdefault((one.corruption, one.part), []).append(one)
    rows = [
        row
        for group in groups.values()
        for name in group[0].estimates
        for way in WAYS
        for row in _rows(study, group, name, way)
    ]
    return {column: [row[column] for row in rows] for column in rows[0]}


def estimate_name(name: str, way: str) -> str:
    """What a table calls it: A, A_fix, mean_relp."""
    return way if name == "score" else f"{way}_{name}"


def _rows(
    study: Study, features: Sequence[Compared], name: str, way: str
) -> list[dict[str, object]]:
    """One estimate in every scope."""
    chosen = WAYS[way]
    sampled = [
        SampledPairs(one.estimates[name][:, chosen].mean(1), one.effect[:, chosen].mean(1))
        for one in features
    ]
    n_heads = [one.exact.shape[1] for one in sampled]
    pairs = Pairs(
        np.repeat([one.feature.layer for one in features], n_heads),
        np.repeat([one.feature.feature for one in features], n_heads),
        np.concatenate([one.estimate.mean(0) for one in sampled]),
        np.concatenate([one.exact.mean(0) for one in sampled]),
    )
    config = study.config.exact_patch
    ends = agreement_ends(sampled, n_draws=config.n_bootstrap, seed=study.config.seed)
    known = {
        "part": features[0].part,
        "corruption": features[0].corruption,
        "estimate": estimate_name(name, way),
        "n_features": len(features),
        "n_pairs": len(pairs.exact),
        "n_samples": max(len(one.exact) for one in sampled),
        "n_passes": float(np.mean([_passes(study, one, name, way) for one in features])),
        "n_passes_exact": float(np.mean([2 + len(chosen) * n for n in n_heads])),
    }
    nowhere = dict.fromkeys(ends._fields)
    return [
        {
            "scope": scope,
            **known,
            **compare(pairs)._asdict(),
            **(ends._asdict() if scope == "within_feature" else nowhere),
        }
        for scope, compare in SCOPES.items()
    ]


def _passes(study: Study, one: Compared, name: str, way: str) -> int:
    return n_passes(study, name, one.feature.layer, WAYS[way])
