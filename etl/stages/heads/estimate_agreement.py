"""Every estimate beside the exact swap, feature by feature and over all (paper 5.2, C).

Rows of tables feature_agreement and attribution_agreement.
"""

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
    drawn_agreement,
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


Row = dict[str, object]


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


def agreements(study: Study, features: Sequence[Compared]) -> dict[str, list[Row]]:
    """Rows by table: every corruption, part, estimate and method, in one order."""
    groups: dict[tuple[Corruption, str], list[Compared]] = {}
    for one in features:
        groups.setdefault((one.corruption, one.part), []).append(one)
    found = [
        _rows(study, group, name, way)
        for group in groups.values()
        for name in group[0].estimates
        for way in WAYS
    ]
    return {
        "attribution_agreement": [row for of_all, _ in found for row in of_all],
        "feature_agreement": [row for _, of_each in found for row in of_each],
    }


def estimate_name(name: str, way: str) -> str:
    """What a table calls it: A, A_fix, mean_relp."""
    return way if name == "score" else f"{way}_{name}"


def _rows(
    study: Study, features: Sequence[Compared], name: str, way: str
) -> tuple[list[Row], list[Row]]:
    """One estimate: over all features in every scope, and of each feature."""
    chosen, config = WAYS[way], study.config.exact_patch
    sampled = [
        SampledPairs(one.estimates[name][:, chosen].mean(1), one.effect[:, chosen].mean(1))
        for one in features
    ]
    drawn = drawn_agreement(sampled, n_draws=config.n_bootstrap, seed=study.config.seed)
    each = [_pairs(one.feature, of_one) for one, of_one in zip(features, sampled, strict=True)]
    passes = [n_passes(study, name, one.feature.layer, chosen) for one in features]
    passes_exact = [2 + len(chosen) * len(of_one.exact) for of_one in each]
    known = {
        "part": features[0].part,
        "corruption": features[0].corruption,
        "estimate": estimate_name(name, way),
    }
    pairs = Pairs(*map(np.concatenate, zip(*each, strict=True)))
    over_all = known | {
        "n_features": len(features),
        "n_pairs": len(pairs.exact),
        "n_samples": max(len(one.exact) for one in sampled),
        "n_passes": float(np.mean(passes)),
        "n_passes_exact": float(np.mean(passes_exact)),
    }
    found = {scope: compare(pairs) for scope, compare in SCOPES.items()}
    ends = agreement_ends(found["within_feature"], drawn.mean(0))._asdict()
    of_all = [
        {
            "scope": scope,
            **over_all,
            **of_scope._asdict(),
            **(ends if scope == "within_feature" else dict.fromkeys(ends)),
        }
        for scope, of_scope in found.items()
    ]
    by_feature = [agreement(of_one) for of_one in each]
    of_each = [
        {
            **one.feature._asdict(),
            **known,
            **by_feature[i]._asdict(),
            **agreement_ends(by_feature[i], drawn[i])._asdict(),
            "n_heads": len(each[i].exact),
            "n_samples": len(sampled[i].exact),
            "n_passes": passes[i],
            "n_passes_exact": passes_exact[i],
        }
        for i, one in enumerate(features)
    ]
    return of_all, of_each


def _pairs(feature: Feature, sampled: SampledPairs) -> Pairs:
    """Means over the feature's samples."""
    n = sampled.exact.shape[1]
    layer, number = np.full(n, feature.layer), np.full(n, feature.feature)
    return Pairs(layer, number, sampled.estimate.mean(0), sampled.exact.mean(0))
