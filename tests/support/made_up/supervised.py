"""Made-up directions from labels, two relations with four ways each; and codes of places."""

import numpy as np
import pyarrow as pa

from made_up.ablation import effect
from made_up.world import RELATIONS, Columns, World

WAYS = [
    (r, c, m) for r in RELATIONS[:2] for c in ("relation", "truth") for m in ("diff_mean", "probe")
]


def stages(world: World) -> dict[str, dict[str, Columns]]:
    """Each stage has one table, of its name."""
    made_up = (
        *(spatial_code, spatial_code_ablation),
        *(supervised_direction, supervised_ablation, supervised_steering),
    )
    return {one.__name__: {one.__name__: one(world)} for one in made_up}


def supervised_direction(world: World) -> Columns:
    n = len(WAYS)
    return {
        **_ways(WAYS),
        "layer": np.full(n, world.layers[0], np.int16),
        "n_positive": np.full(n, 20),
        "n_negative": np.full(n, 22),
        "accuracy_delta_train": np.full(n, -0.2, np.float32),
        "margin_delta_train": np.full(n, -1.0, np.float32),
        "auc_train": np.full(n, 0.9, np.float32),
        "auc_held_out": pa.array([None, *[0.8] * (n - 1)], pa.float32()),
        "nearest_feature": np.arange(n, dtype=np.int32),
        "nearest_cosine": np.full(n, 0.5, np.float32),
    }


def supervised_ablation(world: World) -> Columns:
    """Difference of means of truth hurts; its control 1 is of shuffled labels, 2 is random."""
    grid = [(way, "vsr_relation", control) for way in WAYS for control in (0, 1, 2)]
    grid += [(way, e, 0) for way in WAYS for e in ("vsr_other", "vqa_yes_no")]
    hurts = np.array(
        [way[1:] == ("truth", "diff_mean") and e == "vsr_relation" and c == 0 for way, e, c in grid]
    )
    delta = np.where(hurts, -0.25, 0.0).astype(np.float32)
    own = [e == "vsr_relation" and c == 0 for _, e, c in grid]
    of_own = {
        "interaction": -0.1, "interaction_low": -0.2, "interaction_high": 0.1,
        "delta_less_feature": -0.05, "delta_less_feature_low": -0.1, "delta_less_feature_high": 0.1,
    }  # fmt: skip
    return {
        **_ways([way for way, *_ in grid]),
        "evaluation": [e for _, e, _ in grid],
        "control_no": np.array([c for *_, c in grid], np.int16),
        "layer": np.full(len(grid), world.layers[0], np.int16),
        "control_kind": [(None, "shuffled", "direction")[c] for *_, c in grid],
        "control_p": pa.array([0.25 if one else None for one in own], pa.float64()),
        "compared_layer": pa.array([0 if one else None for one in own], pa.int16()),
        "compared_feature": pa.array([0 if one else None for one in own], pa.int32()),
        **{n: _where(own, v) for n, v in of_own.items()},
        **effect(world, delta, hurts),
        "q_value": pa.array([None if c else 0.5 for *_, c in grid], pa.float64()),
    }


def supervised_steering(world: World) -> Columns:
    grid = [(way, alpha) for way in WAYS for alpha in (-1, 1)]
    alpha = np.array([a for _, a in grid], np.float32)
    return {
        **_ways([way for way, _ in grid]),
        "layer": np.full(len(grid), world.layers[0], np.int16),
        "alpha": alpha,
        "length": alpha * 2,
        "yes_margin_delta": alpha / 4,
        "yes_margin_delta_removed": np.full(len(grid), -0.5, np.float32),
        **effect(world, np.zeros(len(grid), np.float32), alpha > 9),
        "q_value": np.ones(len(grid)),
    }


def spatial_code(world: World) -> Columns:
    n = len(world.layers)
    return {
        "layer": np.array(world.layers, np.int16),
        "n_objects_train": np.full(n, 80),
        "n_objects_held_out": np.full(n, 70),
        "n_images_train": np.full(n, 30),
        "r2_x": np.full(n, 0.8, np.float32),
        "r2_y": np.full(n, 0.7, np.float32),
        "r2_x_erased": np.full(n, 0.1, np.float32),
        "r2_y_erased": np.full(n, -0.1, np.float32),
    }


def spatial_code_ablation(world: World) -> Columns:
    """Features 0 and 1 of each layer; of the second the effect is not clear of 0."""
    removed = ("outside", "code", "both")
    grid = [
        (layer, feature, what, control)
        for layer in world.layers
        for feature in (0, 1)
        for what, control in [("feature", 0), *((w, c) for c in (0, 1) for w in removed)]
    ]
    cost = {"feature": -0.25, "outside": -0.2, "code": -0.1, "both": -0.3}
    delta = np.array([cost[w] * (f == 0) for _, f, w, _ in grid], np.float32)
    left = [f == 0 and w in ("outside", "both") for _, f, w, _ in grid]
    shares = {"": 0.8, "_low": 0.6, "_high": 0.95}
    return {
        "layer": np.array([layer for layer, *_ in grid], np.int16),
        "feature": np.array([f for _, f, *_ in grid], np.int32),
        "relation": [RELATIONS[f] for _, f, *_ in grid],
        "removed": [w for *_, w, _ in grid],
        "control_no": np.array([c for *_, c in grid], np.int16),
        "code_share": np.full(len(grid), 0.06, np.float32),
        **{
            f"remaining_{what}{end}": _where(left, share)
            for what in ("accuracy", "margin")
            for end, share in shares.items()
        },
        **effect(world, delta, delta < 0),
        "q_value": pa.array([None if c else 0.5 for *_, c in grid], pa.float64()),
    }


def _where(here: list[bool], value: float) -> pa.Array:
    return pa.array([value if one else None for one in here], pa.float32())


def _ways(ways: list[tuple[str, str, str]]) -> Columns:
    names = ("relation", "contrast", "method")
    return dict(zip(names, map(list, zip(*ways, strict=True)), strict=True))
