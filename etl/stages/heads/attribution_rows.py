"""Rows of the tables head_attribution, head_estimate and head_stability (paper 5.2, C)."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from torch import Tensor

from feature_atlas.etl.config.causes import Corruption
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.heads.estimate_agreement import DRIVES, METHODS, WAYS, estimate_name
from feature_atlas.heads.head_attribution import HeadScores, SwapScores, summarise_heads
from feature_atlas.heads.ranking_stability import ranking_stability

N_TOP, N_PAIRS = 10, 100
"""Of the stability of rankings: first heads, and pairs of draws."""


def attribution_columns(
    feature: Feature, corruption: Corruption, scores: HeadScores
) -> dict[str, object]:
    """Rows of the table head_attribution."""
    summary = summarise_heads(scores)
    keys, n = _keys(feature, corruption, summary.score[:, 0])
    return {
        **keys,
        **{
            name: getattr(summary, name).flatten().float().numpy()
            for name in ("score", *HeadScores._fields, "standard_error")
        },
        "n_samples": np.full(n, summary.n_samples, np.int32),
    }


def estimate_columns(
    feature: Feature, corruption: Corruption, rule: str, scores: SwapScores
) -> dict[str, object]:
    """Rows of the table head_estimate."""
    n_samples = scores.qk.shape[2]
    keys, n = _keys(feature, corruption, scores.qk[:, 0, 0])
    error = scores.qk.std(2, correction=1) / n_samples**0.5
    return {
        **keys,
        "rule": [rule] * n,
        **{name: part.mean(2).flatten().float().numpy() for name, part in scores._asdict().items()},
        "standard_error": error.flatten().float().numpy(),
        "n_samples": np.full(n, n_samples, np.int32),
    }


def _keys(
    feature: Feature, corruption: Corruption, like: Float[Tensor, "method layer head"]
) -> tuple[dict[str, object], int]:
    """What rows of every method and head begin with, and how many they are."""
    method, head_layer, head = np.indices(like.shape).reshape(3, -1)
    n = len(method)
    keys = {
        "layer": np.full(n, feature.layer, np.int16),
        "feature": np.full(n, feature.feature, np.int32),
        "method": [METHODS[m] for m in method],
        "head_layer": head_layer.astype(np.int16),
        "head": head.astype(np.int16),
        "corruption": [corruption] * n,
    }
    return keys, n


def stability_columns(
    feature: Feature, corruption: Corruption, by_name: Mapping[str, SwapScores], seed: int
) -> dict[str, object]:
    """Rows of the table head_stability, of every estimate of queries and keys."""
    rows = []
    for name, scores in by_name.items():
        drives = DRIVES[:, None, None] * scores.qk[:, 0].flatten(2).double().numpy()
        for way, chosen in WAYS.items():
            of_samples = drives[chosen].mean(0)
            stability = ranking_stability(of_samples, n_top=N_TOP, n_pairs=N_PAIRS, seed=seed)
            known = {
                **feature._asdict(),
                "estimate": estimate_name(name, way),
                "corruption": corruption,
            }
            rows.append(known | stability._asdict() | {"n_samples": len(of_samples)})
    return {column: [row[column] for row in rows] for column in rows[0]}
