"""Made-up answers without a feature, without several, and with more of one."""

import numpy as np
import pyarrow as pa

from made_up.world import N_SAMPLES, N_SURVIVORS, RELATIONS, Columns, World


def ablation(world: World) -> Columns:
    chosen = np.flatnonzero(world.survives)
    evaluations = ("vsr_relation", "vqa_yes_no")
    grid = [(i, e, c, "directional") for i in chosen for e in evaluations for c in range(4)]
    grid += [(i, "vsr_relation", c, "directional") for i in chosen for c in (4, 5)]
    grid += [(i, e, 0, "directional") for i in chosen for e in ("vsr_other", "vsr_paper")]
    grid += [(i, "vsr_relation", 0, "feature_subtraction") for i in chosen]
    n, kinds = len(grid), (None, None, "matched", "matched", "random", "direction")
    hurts = np.array(
        [
            e in ("vsr_relation", "vsr_paper") and c == 0 and world.feature[i] == 0
            for i, e, c, _ in grid
        ]
    )
    delta = np.where(hurts, -0.25, world.share(n, -0.02, 0.02)).astype(np.float32)
    in_question = [e == "vsr_relation" and c == 0 for _, e, c, _ in grid]
    return {
        "layer": world.layer[[i for i, *_ in grid]],
        "feature": world.feature[[i for i, *_ in grid]],
        "evaluation": [e for _, e, *_ in grid],
        "control_no": np.array([c for *_, c, _ in grid], np.int16),
        "relation": [
            None if e == "vqa_yes_no" else RELATIONS[world.feature[i] % 4] for i, e, *_ in grid
        ],
        "intervention": [intervention for *_, intervention in grid],
        "control_kind": [kinds[c] for *_, c, _ in grid],  # none of a control: an older file
        "control_feature": pa.array(
            [c + 30 if 0 < c < 5 else None for *_, c, _ in grid], pa.int32()
        ),
        "control_p": pa.array([0.25 if q else None for q in in_question], pa.float64()),
        **{
            name: pa.array([value if q else None for q in in_question], pa.float32())
            for name, value in (
                ("interaction", -0.2),
                ("interaction_low", -0.3),
                ("interaction_high", 0.05),
                ("accuracy_mean_image", 0.5),
                ("accuracy_no_image", 0.45),
                ("detectable_delta", 0.1),
            )
        },
        **effect(world, delta, hurts),
        "q_value": pa.array([None if c else 0.5 for *_, c, _ in grid], pa.float64()),
    }


def effect(world: World, delta: np.ndarray, hurts: np.ndarray) -> Columns:
    """What happened to some answers: the columns that several tables share."""
    n, before = len(delta), np.full(len(delta), 0.75, np.float32)
    return {
        "seed": np.zeros(n, np.int32),
        "n_samples": np.full(n, N_SAMPLES // 2, np.int32),
        "accuracy_before": before,
        "accuracy_after": before + delta,
        "delta_accuracy": delta,
        "delta_low": delta - np.float32(0.03),
        "delta_high": delta + np.float32(0.03),
        "right_to_wrong": np.where(hurts, 3, 0),
        "wrong_to_right": np.zeros(n, np.int64),
        "mcnemar_p": np.where(hurts, 0.01, 1.0),
        "probability_delta": delta,
        "probability_low": delta - np.float32(0.03),
        "probability_high": delta + np.float32(0.03),
        "margin_delta": delta * 4,
        "margin_low": delta * 4 - 1,
        "margin_high": delta * 4 + 1,
        "yes_rate_before": np.full(n, 0.5, np.float32),
        "yes_rate_after": np.full(n, 0.5, np.float32),
        "balanced_accuracy_before": before,
        "balanced_accuracy_after": before + delta,
        "removed_norm": world.share(n, 0, 0.3),
    }


def ablation_group(world: World) -> Columns:
    """The survivors of each layer, 1, 2 and 4 of them; each removal costs a tenth more."""
    grid = [(i, d, c) for i in world.layers for d in (1, 2, 4) for c in (0, 1)]
    delta = np.array([-0.1 * d if c == 0 else 0 for _, d, c in grid], np.float32)
    return {
        "kind": ["layer"] * len(grid),
        "name": [str(i) for i, *_ in grid],
        "evaluation": ["vsr_all"] * len(grid),
        "n_features": np.array([d for _, d, _ in grid], np.int32),
        "control_no": np.array([c for *_, c in grid], np.int16),
        **effect(world, delta, delta < 0),
        "q_value": pa.array([0.5 if c == 0 else None for *_, c in grid], pa.float64()),
    }


def ablation_group_member(world: World) -> Columns:
    grid = [(i, c, place) for i in world.layers for c in (0, 1) for place in range(N_SURVIVORS)]
    return {
        "kind": ["layer"] * len(grid),
        "name": [str(i) for i, *_ in grid],
        "control_no": np.array([c for _, c, _ in grid], np.int16),
        "place": np.array([place + 1 for *_, place in grid], np.int32),
        "layer": np.array([i for i, *_ in grid], np.int16),
        "feature": np.array([place + 30 * c for _, c, place in grid], np.int32),
    }


def steering(world: World) -> Columns:
    """Feature 0 of each layer, pushed both ways."""
    grid = [(i, alpha) for i in world.layers for alpha in (-1, 1, 2)]
    alpha = np.array([a for _, a in grid], np.float32)
    return {
        "layer": np.array([i for i, _ in grid], np.int16),
        "feature": np.zeros(len(grid), np.int32),
        "evaluation": ["vsr_relation"] * len(grid),
        "relation": [RELATIONS[0]] * len(grid),
        "alpha": alpha,
        "length": alpha * 3,
        "yes_margin_delta": alpha / 2,
        "yes_margin_delta_removed": np.full(len(grid), -0.5, np.float32),
        "mirror_correlation": pa.array([None, -0.9, -0.7] * len(world.layers), pa.float32()),
        **effect(world, np.zeros(len(grid), np.float32), alpha > 9),
        "q_value": np.ones(len(grid)),
    }


def ablation_outcome(world: World) -> Columns:
    chosen = np.flatnonzero(world.survives)
    half = N_SAMPLES // 2
    grid = [(i, e, s) for i in chosen for e in (0, 1) for s in range(half)]
    n = len(grid)
    return {
        "layer": world.layer[[i for i, *_ in grid]],
        "feature": world.feature[[i for i, *_ in grid]],
        "evaluation": [("vsr_relation", "vqa_yes_no")[e] for _, e, _ in grid],
        "sample": np.array([s if e else half + s for _, e, s in grid]),
        "label": [s % 2 == 1 for *_, s in grid],
        "margin_before": world.share(n, -4, 4),
        "margin_after": world.share(n, -4, 4),
        "margin_mean_image": np.full(n, 0.5, np.float32),
    }
