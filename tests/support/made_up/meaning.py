"""Made-up descriptions of features, and their scores; how coherent the features are."""

import numpy as np
import pyarrow as pa

from made_up.world import Columns, World


def auto_interp(world: World) -> Columns:
    chosen = np.flatnonzero(world.survives)
    n = 2 * len(chosen)
    hits = np.tile([8, 6], len(chosen))
    return {
        "layer": np.repeat(world.layer[chosen], 2),
        "feature": np.repeat(world.feature[chosen], 2),
        "variant": ["RAW", "OVERLAY"] * len(chosen),
        "explainer": ["offline"] * n,
        "model": ["over-representation"] * n,
        "description": ["asks for left of", "asks where things are"] * len(chosen),
        "n_positive": np.full(n, 10),
        "n_negative": np.full(n, 10),
        "true_positive": hits,
        "false_positive": 10 - hits,
        "false_negative": 10 - hits,
        "true_negative": hits,
        "f1": (hits / 10).astype(np.float32),
        "balanced_accuracy": (hits / 10).astype(np.float32),
        "mcc": (hits / 5 - 1).astype(np.float32),
        "shuffled_f1": np.full(n, 0.4, np.float32),
        "prompt_hash": ["0" * 64] * n,
        "raw_reply": ["left of\n\tthe"] * n,
        "tokens_used": np.zeros(n, np.int64),
        "cost_usd": [None] * n,
        "n_failed": np.zeros(n, np.int64),
        "grader_model": ["over-representation"] * n,
        "mcc_low": (hits / 5 - 1.3).astype(np.float32),
        "mcc_high": (hits / 5 - 0.8).astype(np.float32),
        "chance_p": np.where(hits == 8, 0.01, 0.33),
        "f1_gain_low": np.where(hits == 8, 0.1, -0.1).astype(np.float32),
        "f1_gain_high": np.full(n, 0.6, np.float32),
        "text_only_f1": (hits / 10).astype(np.float32),
        "picture_gain_low": np.zeros(n, np.float32),
        "picture_gain_high": np.zeros(n, np.float32),
        "n_same_relation": np.full(n, 3),
        "n_same_image": np.full(n, 3),
        "raw_verdicts": [["yes\tno", "é"], []] * len(chosen),
        "n_repaired": np.zeros(n, np.int64),
    }


def chance_score(_: World) -> Columns:
    """Two scores: one beyond chance, and a share that no random feature has."""
    by_chance = {"mean": 0.5, "low": 0.4, "high": 0.6, "p5": 0.1, "p95": 0.75}
    return {
        "score": ["F1", "spatial: survives neutral prompts"],
        "n": np.array([12, 20]),
        "mean": np.array([0.8, 0.5], np.float32),
        "low": np.array([0.7, 0.3], np.float32),
        "high": np.array([0.9, 0.7], np.float32),
        "p5": pa.array([0.6, None], pa.float32()),
        "p95": pa.array([1.0, None], pa.float32()),
        "n_random": np.array([12, 0]),
        **{
            f"random_{name}": pa.array([value, None], pa.float32())
            for name, value in by_chance.items()
        },
        "is_beyond_chance": pa.array([True, None]),
    }


def intruder(world: World) -> Columns:
    """Feature 0 of each layer is coherent; in the others intruders are found as by chance."""
    chosen = np.flatnonzero(world.survives)
    n = len(chosen)
    right = np.where(world.feature[chosen] == 0, 9, 2)
    return {
        "layer": world.layer[chosen],
        "feature": world.feature[chosen],
        "judge": ["words"] * n,
        "model": ["word overlap 1"] * n,
        "n_trials": np.full(n, 10),
        "n_right": right,
        "n_failed": np.zeros(n, np.int64),
        "accuracy": (right / 10).astype(np.float32),
        "accuracy_low": np.where(right == 9, 0.6, 0.06).astype(np.float32),
        "accuracy_high": np.where(right == 9, 0.98, 0.51).astype(np.float32),
        "chance_p": np.where(right == 9, 4e-6, 0.62),
        "tokens_used": np.zeros(n, np.int64),
        "cost_usd": [None] * n,
    }


def output_score(world: World) -> Columns:
    """Feature 0 of each layer says what it writes, and less so its label; others as by chance."""
    chosen = np.repeat(np.flatnonzero(world.survives), 2)
    n, is_said = len(chosen), world.feature[chosen] == 0
    score = np.where(is_said, np.tile([0.8, 0.5], n // 2), 0.1).astype(np.float32)
    raised = np.where(is_said, 2.0, 0.0).astype(np.float32)
    return {
        "layer": world.layer[chosen],
        "feature": world.feature[chosen],
        "tokens_of": ["logits", "label"] * (n // 2),
        "tokens": [["<b>left</b>", " port"], ["left"]] * (n // 2),
        "alpha": np.full(n, 4, np.float32),
        "length": np.full(n, 7.5, np.float32),
        "n_prompts": np.full(n, 24),
        "n_controls": np.full(n, 5),
        "output_score": score,
        "output_score_before": np.full(n, 0.1, np.float32),
        "output_score_control": np.full(n, 0.125, np.float32),
        "output_score_gain_low": score - np.float32(0.2),
        "output_score_gain_high": score - np.float32(0.05),
        "log_probability_before": np.full(n, -2.5, np.float32),
        "log_probability_delta": raised,
        "log_probability_control": np.full(n, 0.25, np.float32),
        "log_probability_gain_low": raised - np.float32(0.5),
        "log_probability_gain_high": raised + np.float32(0.25),
    }
