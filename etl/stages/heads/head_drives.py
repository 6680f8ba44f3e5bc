"""The features that were attributed to heads, and how much each head drives them (paper 5.2, C)."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float64

from feature_atlas.etl.config.causes import Corruption
from feature_atlas.etl.run_folder.artifacts import read_rows
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.stages.heads.estimate_agreement import DRIVES, METHODS, WAYS
from feature_atlas.etl.study import Study
from feature_atlas.vlm.head_probe import Head

Drive = Float64[np.ndarray, "layer head"]
"""Above 0: the head drives the feature."""
Drives = Float64[np.ndarray, "method layer head"]
"""-A and B."""
COLUMNS = {"": "score", "fix": "qk_fix"}
"""Where head_attribution has the paper's estimate, and the QK fix."""


def first_corruption(study: Study) -> Corruption:
    """By which heads are chosen."""
    return study.config.head_attribution.corruption[0]


def head_drives(
    study: Study, column: Literal["score", "qk_fix"], corruption: Corruption
) -> dict[Feature, Drives]:
    """Every attributed feature, in the order of its stage; the paper's score or the QK fix."""
    return _turned(study, "head_attribution", column, {"corruption": corruption})


def best_estimate(study: Study) -> str:
    """The estimate that ranks heads most as real swaps of queries and keys do, on this run.

    Under the run's first corruption. Of equal ones the first. Where nothing was swapped, that of
    the paper's sharper method (C.2) with the QK fix.
    """
    rows = read_rows(study.run, "exact_patch", "attribution_agreement")
    wanted = ("qk", "within_feature", first_corruption(study))
    within = [r for r in rows if (r["part"], r["scope"], r["corruption"]) == wanted]
    agreed = [r for r in within if r["spearman"] is not None]
    return str(max(agreed, key=lambda r: r["spearman"])["estimate"]) if agreed else "B_fix"


def drives_by(study: Study, estimate: str) -> dict[Feature, Drive]:
    """Every attributed feature's heads by an estimate of `attribution_agreement`.

    Under the run's first corruption.
    """
    (way, _, rule), under = estimate.partition("_"), {"corruption": first_corruption(study)}
    if rule in COLUMNS:
        found = _turned(study, "head_attribution", COLUMNS[rule], under)
    else:
        found = _turned(study, "head_estimate", "qk", {**under, "rule": rule})
    return {feature: drives[WAYS[way]].mean(0) for feature, drives in found.items()}


def _turned(
    study: Study, table: str, column: str, only: Mapping[str, object]
) -> dict[Feature, Drives]:
    """A column of the stage's rows, those with some values, so that above 0 drives."""
    drives: dict[Feature, Drives] = {}
    n_heads = study.inputs["vlm"]["n_heads"]
    for row in read_rows(study.run, "head_attribution", table):
        if any(row[name] != value for name, value in only.items()):
            continue
        feature = Feature(row["layer"], row["feature"])
        of_feature = drives.setdefault(feature, np.zeros((2, feature.layer + 1, n_heads)))
        place = METHODS.index(row["method"])
        of_feature[place, row["head_layer"], row["head"]] = DRIVES[place] * row[column]
    return drives


def strongest(drive: Drive, n: int) -> list[Head]:
    """The heads that drive a feature most, the strongest first."""
    order = np.argsort(-drive, axis=None, kind="stable")[:n]
    return [(int(i) // drive.shape[1], int(i) % drive.shape[1]) for i in order]
