"""Rows of the tables head_attribution, head_estimate and head_stability (paper 5.2, C)."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from torch import Tensor

from feature_atlas.etl.config.causes import Corruption
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.heads.estimate_agreement import DRIVES, METHODS, WAYS, estimate_name
from feature_atlas.heads.head_attribution import HeadScores, SwapScores, summarise_heads
from feature_atlas.heads.ranking_stability import (
    Drives,
    ranking_stability,
    wording_stability,
)

N_TOP, N_PAIRS = 10, 100
"""Of the stability of rankings: first heads, and pairs of draws."""
ByName = Mapping[str, SwapScores]
"""Scores by the name of their rule: score, fix, relp, ..."""


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
    feature: Feature, corruption: Corruption, by_name: ByName, seed: int
) -> dict[str, object]:
    """Rows of the table head_stability, of every estimate of queries and keys, over samples."""
    rows = [
        {
            **known,
            **ranking_stability(drives, n_top=N_TOP, n_pairs=N_PAIRS, seed=seed)._asdict(),
            "over": "samples",
            "n_samples": len(drives),
            "n_wordings": None,
        }
        for known, drives in _rankings(feature, corruption, by_name)
    ]
    return _stability_columns(rows)


def wording_columns(
    feature: Feature, corruption: Corruption, by_wording: Sequence[ByName]
) -> dict[str, object]:
    """Rows of the table head_stability over wordings, each of the same samples."""
    of_each = [list(_rankings(feature, corruption, by_name)) for by_name in by_wording]
    rows = [
        {
            **same[0][0],
            **wording_stability(
                np.stack([drives.mean(0) for _, drives in same]), n_top=N_TOP
            )._asdict(),
            "over": "wordings",
            "n_samples": len(same[0][1]),
            "n_wordings": len(same),
        }
        for same in zip(*of_each, strict=True)
    ]
    return _stability_columns(rows)


def _stability_columns(rows: list[dict[str, object]]) -> dict[str, object]:
    columns: dict[str, object] = {name: [row[name] for row in rows] for name in rows[0]}
    return columns | {"n_wordings": pa.array(columns["n_wordings"], pa.int64())}


def _rankings(
    feature: Feature, corruption: Corruption, by_name: ByName
) -> Iterator[tuple[dict[str, object], Drives]]:
    """Every estimate, and what it says of each sample."""
    for name, scores in by_name.items():
        drives = DRIVES[:, None, None] * scores.qk[:, 0].flatten(2).double().numpy()
        for way, chosen in WAYS.items():
            known = {**feature._asdict(), "estimate": estimate_name(name, way)}
            yield known | {"corruption": corruption}, drives[chosen].mean(0)
