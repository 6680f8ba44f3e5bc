"""Made-up numbers of features by skill: firing shift, candidates, neutral prompts."""

import numpy as np
import pyarrow as pa

from made_up.world import N_SAMPLES, RELATIONS, Columns, World


def firing_shift(world: World) -> Columns:
    skills, n = ("spatial", "ocr", "vsr"), 3 * world.n
    fired = world.random.integers(0, 400, n)
    odds = world.share(n, 0.2, 2)
    candidate = np.concatenate([world.is_candidate, world.feature == 9, world.is_candidate])
    odds[candidate] *= 5
    return {
        "skill": np.repeat(skills, world.n).tolist(),
        **world.keys(3),
        "fired_skill": fired,
        "tokens_skill": np.full(n, 400),
        "fired_base": fired // 2,
        "tokens_base": np.full(n, 900),
        "questions_fired_skill": fired // 10,
        "questions_skill": np.full(n, 40),
        "questions_fired_base": fired // 20,
        "questions_base": np.full(n, 90),
        "delta_p": (fired / 400 - (fired // 2) / 900).astype(np.float32),
        "odds_ratio": odds,
        "odds_ratio_low": odds / 2,
        "odds_ratio_high": odds * 2,
        "odds_ratio_boot_low": odds / 4,
        "odds_ratio_boot_high": odds * 4,
        "p_value": world.random.uniform(0, 1, n) ** 40,
        "q_value": world.random.uniform(0, 1, n),
        "question_delta_p": world.share(n, -1, 1),
        "question_odds_ratio": odds,
        "question_odds_ratio_low": odds / 3,
        "question_odds_ratio_high": odds * 3,
        "has_zero_cell": fired == 0,
        "is_candidate": candidate,
        **_shift_controls(world, fired, odds),
    }


def _shift_controls(world: World, fired: np.ndarray, odds: np.ndarray) -> Columns:
    """The shift on question tokens, and between questions of one length; vsr has no pairs."""
    n, pairs = len(fired), np.where(np.arange(len(fired)) < 2 * world.n, 1, 0)

    def share(values: np.ndarray) -> pa.Array:
        return pa.array(values, mask=pairs == 0)

    return {
        "role_fired_skill": fired // 2,
        "role_tokens_skill": np.full(n, 250),
        "role_fired_base": fired // 4,
        "role_tokens_base": np.full(n, 600),
        "role_delta_p": (fired // 2 / 250 - fired // 4 / 600).astype(np.float32),
        "role_odds_ratio": odds,
        "role_odds_ratio_low": odds / 2,
        "role_odds_ratio_high": odds * 2,
        "matched_questions": 30 * pairs,
        "matched_fired_skill": fired // 2 * pairs,
        "matched_tokens_skill": 300 * pairs,
        "matched_fired_base": fired // 3 * pairs,
        "matched_tokens_base": 301 * pairs,
        "matched_questions_fired_skill": fired // 20 * pairs,
        "matched_questions_fired_base": fired // 40 * pairs,
        "matched_delta_p": share((fired / 4000).astype(np.float32)),
        "matched_odds_ratio": share(odds),
        "matched_odds_ratio_low": share(odds / 2),
        "matched_odds_ratio_high": share(odds * 2),
    }


def sample_skill(world: World) -> Columns:
    number = np.arange(0, N_SAMPLES // 2, 2, dtype=np.int64)
    relation = [RELATIONS[i % len(RELATIONS)] for i in number]
    return {"skill": ["spatial"] * len(number), "sample": number, "rule": relation}


def candidate(world: World) -> Columns:
    chosen = world.is_candidate
    n = int(chosen.sum())
    return {
        "skill": ["spatial"] * n,
        "layer": world.layer[chosen],
        "feature": world.feature[chosen],
        "survives": world.survives[chosen],
        "n_samples": np.full(n, 30, np.int32),
        "n_fired": np.where(world.survives[chosen], 20, 1).astype(np.int32),
        "n_fired_mean_image": np.ones(n, np.int32),
        "n_fired_shuffled_image": np.full(n, 9, np.int32),
    }


def neutral_prompt(world: World) -> Columns:
    chosen, prompts = world.is_candidate, ("Describe the picture.", "What is shown?")
    n = int(chosen.sum())
    return {
        "skill": ["spatial"] * 2 * n,
        "layer": np.tile(world.layer[chosen], 2),
        "feature": np.tile(world.feature[chosen], 2),
        "prompt_no": np.repeat(np.arange(2, dtype=np.int16), n),
        "prompt": np.repeat(prompts, n).tolist(),
        "n_samples": np.full(2 * n, 15, np.int32),
        "n_fired": np.full(2 * n, 10, np.int32),
        "n_fired_mean_image": np.full(2 * n, 1, np.int32),
        "n_fired_shuffled_image": np.full(2 * n, 4, np.int32),
        "has_skill_word": np.repeat([False, True], n),
        "mean_activation": world.share(2 * n, 0, 4),
    }
