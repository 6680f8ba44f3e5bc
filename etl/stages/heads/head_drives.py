"""The features that were attributed to heads, and how much each head drives them (paper 5.2, C)."""

from typing import Literal

import numpy as np
from jaxtyping import Float64

from feature_atlas.etl.run_folder.artifacts import read_rows
from feature_atlas.etl.stages.features.feature_choice import Feature
from feature_atlas.etl.study import Study
from feature_atlas.vlm.head_probe import Head

Drive = Float64[np.ndarray, "layer head"]
"""Above 0: the head drives the feature."""
Drives = Float64[np.ndarray, "method layer head"]
"""-A and B."""


def head_drives(study: Study, column: Literal["score", "qk_fix"]) -> dict[Feature, Drives]:
    """Every attributed feature, in the order of its stage; the paper's score or the QK fix."""
    drives: dict[Feature, Drives] = {}
    n_heads = study.inputs["vlm"]["n_heads"]
    for row in read_rows(study.run, "head_attribution", "head_attribution"):
        feature = Feature(row["layer"], row["feature"])
        of_feature = drives.setdefault(feature, np.zeros((2, feature.layer + 1, n_heads)))
        is_b = row["method"] == "B"
        of_feature[int(is_b), row["head_layer"], row["head"]] = row[column] * (1 if is_b else -1)
    return drives


def strongest(drive: Drive, n: int) -> list[Head]:
    """The heads that drive a feature most, the strongest first."""
    order = np.argsort(-drive, axis=None, kind="stable")[:n]
    return [(int(i) // drive.shape[1], int(i) % drive.shape[1]) for i in order]
