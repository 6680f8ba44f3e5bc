"""Made-up numbers of attention heads: attribution, exact patches, knock-outs, overlays."""

import io

import numpy as np
import pyarrow as pa
from PIL import Image

from made_up.world import N_SAMPLES, N_SURVIVORS, RELATIONS, Columns, World, sha256


def head_attribution(world: World) -> Columns:
    chosen = np.flatnonzero(world.survives)
    grid = [
        (i, method, head_layer, head)
        for i in chosen
        for method in "AB"
        for head_layer in world.layers
        if head_layer <= world.layer[i]
        for head in range(4)
    ]
    n = len(grid)
    sign = np.array([-1 if method == "A" else 1 for _, method, _, _ in grid], np.float32)
    strength = np.array([4 - head for _, _, _, head in grid], np.float32)
    return {
        "layer": world.layer[[i for i, *_ in grid]],
        "feature": world.feature[[i for i, *_ in grid]],
        "method": [method for _, method, _, _ in grid],
        "head_layer": np.array([head_layer for _, _, head_layer, _ in grid], np.int16),
        "head": np.array([head for *_, head in grid], np.int16),
        "score": sign * strength,
        "q": sign * strength / 2,
        "k": sign * strength / 2,
        "v": world.share(n, -1, 1),
        "z": world.share(n, -1, 1),
        "q_fix": sign * strength / 2,
        "k_fix": sign * strength / 2,
        "qk_fix": sign * strength,
        "standard_error": world.share(n, 0, 0.2),
        "n_samples": np.full(n, 8, np.int32),
    }


def head_estimate(world: World) -> Columns:
    """Every rule of every traced feature; RelP alone puts the last head first."""
    traced = head_attribution(world)
    n = len(traced["head"])
    rules = ("relp", "ig", "grad_drop")
    keys = ("layer", "feature", "head_layer", "head", "n_samples", "standard_error")
    sign = np.sign(traced["score"])
    relp = sign * (1 + traced["head"]).astype(np.float32)
    other = np.tile(traced["score"], 2)
    return {
        **{name: np.tile(traced[name], 3) for name in keys},
        "method": list(traced["method"]) * 3,
        "rule": np.repeat(rules, n).tolist(),
        **{part: np.concatenate([relp, other]) for part in ("qk", "v", "z")},
    }


def head_stability(world: World) -> Columns:
    """Every traced feature's ranking by A holds, and by RelP hardly."""
    chosen = np.flatnonzero(world.survives)
    n = 2 * len(chosen)
    return {
        "layer": np.repeat(world.layer[chosen], 2),
        "feature": np.repeat(world.feature[chosen], 2),
        "estimate": ["A", "A_relp"] * len(chosen),
        "spearman": np.tile(np.array([0.9, 0.3], np.float32), len(chosen)),
        "jaccard": np.tile(np.array([0.8, 0.2], np.float32), len(chosen)),
        "n_samples": np.full(n, 8, np.int32),
    }


def head_exact(world: World) -> Columns:
    """Heads 0 and 1 of the traced features: head 0 is a cause, head 1 is not."""
    traced = head_attribution(world)
    few = traced["head"] < 2
    score, is_cause = traced["score"][few], traced["head"][few] == 0
    effect = np.where(is_cause, score, 0).astype(np.float32)
    n = len(effect)
    return {
        **{name: traced[name][few] for name in ("layer", "feature", "head_layer", "head")},
        "method": [m for m, keep in zip(traced["method"], few, strict=True) if keep],
        "part": ["qk"] * n,
        "why": ["top" if cause else "random" for cause in is_cause],
        "effect": effect,
        "standard_error": np.full(n, 0.1, np.float32),
        "effect_low": effect - np.float32(0.25),
        "effect_high": effect + np.float32(0.25),
        "p_value": np.where(is_cause, 1e-6, 1.0),
        "q_value": np.where(is_cause, 1e-5, 1.0),
        "estimate": score,
        "estimate_fix": score,
        "is_causal": is_cause,
        "n_samples": np.full(n, 8, np.int32),
    }


def attribution_agreement(world: World) -> Columns:
    rules = ("", "_fix", "_relp", "_ig", "_grad_drop")
    estimates = [way + rule for rule in rules for way in ("A", "B", "mean")]
    scopes = ("all", "within_layer", "within_feature")
    grid = [(estimate, scope) for estimate in estimates for scope in scopes]
    n = len(grid)
    is_within = np.array([scope == "within_feature" for _, scope in grid])

    def within(value: float) -> pa.Array:
        return pa.array([value if one else None for one in is_within], pa.float32())

    return {
        "part": ["qk"] * n,
        "estimate": [estimate for estimate, _ in grid],
        "scope": [scope for _, scope in grid],
        "pearson": world.share(n, 0.8, 1),
        "spearman": pa.array([None, *world.share(n - 1, 0.8, 1)], pa.float32()),
        "sign_agreement": world.share(n, 0.8, 1),
        "top_overlap": world.share(n, 0.5, 1),
        "top_overlap_by_chance": np.full(n, 0.25, np.float32),
        "spearman_low": within(0.7),
        "spearman_high": within(1.0),
        "top_overlap_low": within(0.4),
        "top_overlap_high": within(1.0),
        "n_passes": np.full(n, 3, np.float32),
        "n_passes_exact": np.full(n, 34, np.float32),
        "n_features": np.full(n, 10),
        "n_pairs": np.full(n, 320),
        "n_samples": np.full(n, 8),
    }


def feature_agreement(world: World) -> Columns:
    """Of feature 0 of each layer: the gradient and the QK fix."""
    rows = [(layer, estimate) for layer in world.layers for estimate in ("B", "B_fix")]
    n = len(rows)
    low, half, high = (np.full(n, value, np.float32) for value in (0.25, 0.5, 0.75))
    return {
        "layer": np.array([layer for layer, _ in rows], np.int16),
        "feature": np.zeros(n, np.int32),
        "part": ["qk"] * n,
        "estimate": [estimate for _, estimate in rows],
        "pearson": pa.array([None, *half[1:]], pa.float32()),
        "spearman": pa.array([None, *half[1:]], pa.float32()),
        "spearman_low": low,
        "spearman_high": high,
        "sign_agreement": high,
        "top_overlap": half,
        "top_overlap_low": low,
        "top_overlap_high": high,
        "top_overlap_by_chance": low,
        "n_passes": np.full(n, 3),
        "n_passes_exact": np.full(n, 34),
        "n_heads": np.full(n, 32),
        "n_samples": np.full(n, 8),
    }


def head_knockout(world: World) -> Columns:
    """Of feature 0 of each layer: its heads cost accuracy, their controls do not."""
    layers = [(layer, part, c) for layer in world.layers for part in ("qk", "z") for c in range(3)]
    n = len(layers)
    is_own = np.array([c == 0 for *_, c in layers])
    delta = np.where(is_own, -0.25, 0).astype(np.float32)
    half = np.full(n, 0.5, np.float32)
    return {
        "layer": np.array([layer for layer, *_ in layers], np.int16),
        "feature": np.zeros(n, np.int32),
        "part": [part for _, part, _ in layers],
        "control_no": np.array([c for *_, c in layers], np.int16),
        "relation": [RELATIONS[0]] * n,
        "heads": [["L0H0", "L0H1"] if own else ["L0H2", "L0H3"] for own in is_own],
        "image_mass": half,
        "projection_before": half * 4,
        "projection_after": half * 4 + delta * 4,
        "projection_corrupt": half,
        "projection_delta_low": delta * 4 - np.float32(0.1),
        "projection_delta_high": delta * 4 + np.float32(0.1),
        "activation_before": half,
        "activation_after": half + delta,
        "activation_corrupt": half * 0,
        "seed": np.zeros(n, np.int32),
        "n_samples": np.full(n, N_SAMPLES // 2, np.int32),
        "accuracy_before": half,
        "accuracy_after": half + delta,
        "delta_accuracy": delta,
        "delta_low": delta - np.float32(0.03),
        "delta_high": delta + np.float32(0.03),
        "right_to_wrong": np.where(is_own, 3, 0),
        "wrong_to_right": np.zeros(n, np.int64),
        "mcnemar_p": np.where(is_own, 0.25, 1.0),
        "q_value": pa.array([0.25 if own else None for own in is_own], pa.float64()),
        "probability_delta": delta,
        "margin_delta": delta * 4,
        "margin_low": delta * 4 - np.float32(0.5),
        "margin_high": delta * 4 + np.float32(0.5),
        "yes_rate_before": half,
        "yes_rate_after": half,
        "balanced_accuracy_before": half,
        "balanced_accuracy_after": half + delta,
    }


def overlay(world: World) -> Columns:
    chosen = np.flatnonzero(world.survives)
    grid = [(i, sample, head) for i in chosen for sample in (0, 1, 12) for head in (0, 3)]
    n = len(grid)
    weights = world.share(n * 16).reshape(n, 16) / 32
    return {
        "layer": world.layer[[i for i, *_ in grid]],
        "feature": world.feature[[i for i, *_ in grid]],
        "sample": np.array([sample for _, sample, _ in grid]),
        "head_layer": np.zeros(n, np.int16),
        "head": np.array([head for *_, head in grid], np.int16),
        "kind": ["bottom" if head else "top" for *_, head in grid],
        "method": ["B"] * n,
        "grid_rows": np.full(n, 4, np.int16),
        "grid_columns": np.full(n, 4, np.int16),
        "weights": list(weights),
        "image_mass": weights.sum(1),
        **_whole_picture(n),
        # statements of sample 12: nothing is known of its objects
        "object_share": pa.array([None if s == 12 else 0.5 for _, s, _ in grid], pa.float32()),
        "object_area": pa.array([None if s == 12 else 0.125 for _, s, _ in grid], pa.float32()),
        "lift": pa.array([None if s == 12 else 4.0 for _, s, _ in grid], pa.float32()),
    }


def localisation(world: World) -> Columns:
    lift = np.array([3, 0.5, 1, 2.5, 2], np.float32)
    share = lift / 8
    return {
        "comparison": ["top", "bottom", "random", "top - bottom", "top - random"],
        "n_pairs": np.full(5, 16, np.int64),
        "n_features": np.full(5, 2 * N_SURVIVORS, np.int64),
        "n_images": np.full(5, 2, np.int64),
        "share": share,
        "share_low": share - np.float32(0.05),
        "share_high": share + np.float32(0.05),
        "lift": lift,
        "lift_low": lift - np.float32(0.4),
        "lift_high": lift + np.float32(0.4),
    }


def custom_prompt(world: World) -> Columns:
    picture, stored = Image.new("RGB", (60, 48), (9, 90, 200)), io.BytesIO()
    picture.save(stored, "PNG")
    n = len(world.layers)
    return {
        **_of_custom(world, 1),
        "question": ["Is the blue thing left of the red one?"] * n,
        "image_sha256": [sha256(b"custom")] * n,
        "image_uri": ["custom.png"] * n,
        "width": np.full(n, 60, np.int32),
        "height": np.full(n, 48, np.int32),
        "thumbnail": [stored.getvalue()] * n,
        "tokens": [["is", " the", " blue"]] * n,
        "activations": [[0.0, 0.25, 1.5]] * n,
        "max_activation": np.full(n, 1.5, np.float32),
    }


def custom_overlay(world: World) -> Columns:
    n = 3 * len(world.layers)
    weights = world.share(n * 16).reshape(n, 16) / 32
    return {
        **_of_custom(world, 3),
        "head_layer": np.zeros(n, np.int16),
        "head": np.tile(np.arange(3, dtype=np.int16), n // 3),
        "kind": ["top", "random", "bottom"] * (n // 3),
        "method": ["B"] * n,
        "grid_rows": np.full(n, 4, np.int16),
        "grid_columns": np.full(n, 4, np.int16),
        "weights": list(weights),
        "image_mass": weights.sum(1),
        # the middle of a picture of 60 by 48
        **_whole_picture(n, left=6, right=54),
    }


def _of_custom(world: World, repeat: int) -> Columns:
    """Keys of one custom prompt, put to feature 0 of each layer."""
    n = repeat * len(world.layers)
    return {
        "layer": np.repeat(np.array(world.layers, np.int16), repeat),
        "feature": np.zeros(n, np.int32),
        "prompt": [sha256(b"custom prompt")] * n,
    }


def _whole_picture(n: int, left: float = 0, right: float = 48, height: float = 48) -> Columns:
    """Where n patch grids lie on their pictures."""
    edges = {"left": left, "top": 0, "right": right, "bottom": height}
    return {f"seen_{edge}": np.full(n, value, np.float32) for edge, value in edges.items()}


def stages(world: World) -> dict[str, dict[str, Columns]]:
    """Tables about heads, by the stage that leaves them."""
    return {
        "head_attribution": {
            "head_attribution": head_attribution(world),
            "head_estimate": head_estimate(world),
            "head_stability": head_stability(world),
        },
        "exact_patch": {
            "head_exact": head_exact(world),
            "attribution_agreement": attribution_agreement(world),
            "feature_agreement": feature_agreement(world),
        },
        "head_knockout": {"head_knockout": head_knockout(world)},
        "overlay": {"overlay": overlay(world), "localisation": localisation(world)},
        "custom_overlay": {
            "custom_prompt": custom_prompt(world),
            "custom_overlay": custom_overlay(world),
        },
    }
