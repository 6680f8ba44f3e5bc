"""Made-up numbers of single features: turn, energy, selection, examples."""

import numpy as np
import pyarrow as pa

from made_up.world import N_SAMPLES, Columns, World


def decoder_cosine(world: World) -> Columns:
    regimes, n = ("text", "image", "full", "random"), 4 * world.n
    text = np.where(world.is_adapted, world.share(world.n, 0, 0.6), world.share(world.n, 0.8, 1))
    measured = {
        "cosine": np.concatenate([text, world.share(3 * world.n, -1, 1)]).astype(np.float32),
        "encoder_cosine": world.share(n, -1, 1),
        "base_norm": world.share(n, 0.5, 2),
        "adapted_norm": world.share(n, 0.5, 2),
        "best_base_feature": world.random.integers(0, world.d_sae, n, dtype=np.int32),
        "best_base_cosine": world.share(n, 0, 1),
        "n_firings": world.random.integers(0, 10_000, n),
    }
    # the controls' numbers are those of image and full in reverse
    controls = {name: column[world.n : 3 * world.n][::-1] for name, column in measured.items()}
    regimes += ("refit", "language")
    return {
        "regime": np.repeat(regimes, world.n).tolist(),
        **world.keys(len(regimes)),
        **{name: np.concatenate([measured[name], controls[name]]) for name in measured},
        **_beside_null(world, regimes),
    }


def _beside_null(world: World, regimes: tuple[str, ...]) -> Columns:
    """Turns of the adapted features are beyond the null; the null and a new start have none."""
    is_tested = np.repeat([regime not in ("random", "refit") for regime in regimes], world.n)
    is_beyond = np.tile(world.is_adapted, len(regimes))
    values = {
        "null_cosine": np.full(len(is_tested), 0.9, np.float32),
        "excess_rotation": np.where(is_beyond, 0.5, 0).astype(np.float32),
        "rotation_p_value": np.where(is_beyond, 1e-5, 0.5),
        "rotation_q_value": np.where(is_beyond, 1e-4, 1),
    }
    return {name: pa.array(column, mask=~is_tested) for name, column in values.items()}


def visual_energy(world: World) -> Columns:
    fired = world.random.integers(0, 5000, world.n)
    question = np.where(world.is_adapted, world.share(world.n, 0.1, 9), 0).astype(np.float32)
    return {
        **world.keys(),
        "energy_image": world.share(world.n, 0, 50),
        "energy_question": question,
        "energy_question_mean_image": question / 2,
        "energy_question_no_image": question / 4,
        "energy_prefix": world.share(world.n, 0, 2),
        "fired_image": fired * 3,
        "fired_question": fired,
        "fired_question_mean_image": fired // 2,
        "fired_question_no_image": fired // 3,
        "modality_preference": (preference := world.share(world.n, -3, 3)),
        "firing_rate": (fired / 5000).astype(np.float32),
        "energy_all_tokens": question * 2,
        "energy_question_control": question,
        "fired_question_control": fired // 2,
        "energy_question_only": question,  # and no suffix
        "fired_question_only": fired // 2,
        "energy_header": question,
        "fired_header": fired - fired // 2,
        "modality_preference_low": preference - 1,
        "modality_preference_high": preference + 1,
        "mean_activation": pa.array(np.sqrt(question), mask=fired == 0),
        "max_activation": np.full(world.n, 9, np.float32),
    }


def role_energy(world: World) -> Columns:
    grid = [(i, c) for i in world.layers for c in ("real", "mean", "none")]
    n = len(grid)
    return {
        "layer": np.array([i for i, _ in grid], np.int16),
        "condition": [c for _, c in grid],
        "role": ["question"] * n,
        "n_tokens": np.full(n, 5000),
        "n_sinks": np.full(n, 5),
        "sink_norm": np.full(n, 80, np.float32),
        "energy": np.full(n, 64, np.float32),
        "energy_without_sinks": np.full(n, 60, np.float32),
        "sink_share": np.full(n, 0.0625, np.float32),
    }


def activation_histogram(world: World) -> Columns:
    """Of every feature: weak on the picture, strong on the question."""
    roles, n = ("image", "question"), 2 * world.n
    kind = np.tile([0, 1], world.n)
    return {
        "layer": np.repeat(world.layer, 2),
        "feature": np.repeat(world.feature, 2),
        "role": [roles[k] for k in kind],
        "first_bin": np.where(kind == 0, 8, 12).astype(np.int16),
        "n_tokens": [np.array([40, 0, 6 + i % 5, 1], np.int32) for i in range(n)],
    }


def logit_effect(world: World) -> Columns:
    """Of every feature the same ten and ten tokens, some of them awkward."""
    words = ["left", " right", 'a"b', "{é}", "\\", "\n", "<script>", "", "yes", "no"]
    effects = np.linspace(2, 0.2, len(words), dtype=np.float32)
    columns: Columns = {"layer": world.layer, "feature": world.feature}
    for end, sign in (("top", 1), ("bottom", -1)):
        ids = np.arange(len(words), dtype=np.int32) + (end == "bottom") * len(words)
        columns |= {
            f"{end}_token_ids": [ids] * world.n,
            f"{end}_tokens": [words] * world.n,
            f"{end}_effects": [sign * effects] * world.n,
        }
    return columns


def latent_scaling(world: World) -> Columns:
    """Adapted features are written as strongly as before, others half as strongly, on text."""
    half, none = np.full(world.n, 0.5, np.float32), pa.nulls(world.n, pa.float32())
    scale = np.where(world.is_adapted, 1, half).astype(np.float32)
    of_image = ("scale", "standard_error", "base_beta", "vlm_beta")
    return {
        "layer": world.layer,
        "feature": world.feature,
        "scale_text": scale,
        "standard_error_text": half / 10,
        "base_beta_text": half * 2,
        "vlm_beta_text": scale,
        "n_tokens_text": np.full(world.n, 40),
        **{f"{name}_image": none for name in of_image},
        "n_tokens_image": np.zeros(world.n, np.int64),
    }


def seed_stability(world: World) -> Columns:
    """Three seeds: one in four adapted features is adapted in the first alone."""
    cosine = (0.2 + world.feature % 7 / 10).astype(np.float32)
    n_adapted = np.where(world.feature % 4 == 1, 1, 3) * world.is_adapted
    return {
        **world.keys(),
        "n_seeds": np.full(world.n, 3, np.int16),
        "cosine_mean": cosine,
        "cosine_sd": np.full(world.n, 0.01, np.float32),
        "cosine_low": cosine - np.float32(0.01),
        "cosine_high": cosine + np.float32(0.01),
        "n_seeds_adapted": n_adapted,
        "n_seeds_turned_by_vision": np.where(world.feature % 4 == 3, 0, n_adapted),
    }


def seed_set(_: World) -> Columns:
    """Of two sets, what three seeds find again; the second set is empty."""
    return {
        "feature_set": ["adapted"] * 3 + ["spatial survivors"] * 3,
        "n_seeds": np.array([1, 2, 3] * 2, np.int16),
        "n_features": np.array([40, 30, 30, 0, 0, 0]),
        "share": pa.array([1, 0.75, 0.75, None, None, None], pa.float32()),
        "share_by_chance": np.array([1, 0.4375, 0.0625] * 2, np.float32),
    }


def nearest_feature(world: World) -> Columns:
    """The features that come next in the layer, each less near."""
    near = (world.feature[:, None] + np.arange(1, 9)) % world.d_sae
    return {
        "layer": world.layer,
        "feature": world.feature,
        "features": list(near.astype(np.int32)),
        "cosines": [np.linspace(0.9, 0.2, 8, dtype=np.float32)] * world.n,
    }


def selection(world: World) -> Columns:
    return {
        **world.keys(),
        "is_adapted": world.is_adapted,
        "cosine_rank": np.where(world.is_adapted, 0.1, 0.7).astype(np.float32),
        "is_beyond_null": world.is_adapted,
        "is_beyond_language": world.feature % 4 != 3,
        "is_turned_by_vision": world.is_adapted & (world.feature % 4 != 3),
    }


def example(world: World) -> Columns:
    chosen = np.flatnonzero(world.is_candidate)
    tokens = ["Is", "the", "circle", 'left"of', "the\\square", "?", "{é}"]
    half = N_SAMPLES // 2
    # the last of four is no strongest one: it stands for the middle; it and the first were drawn
    grid = [(i, s, rank) for i in chosen for s in (0, 1) for rank in range(4)]
    return {
        "layer": world.layer[[i for i, _, _ in grid]],
        "feature": world.feature[[i for i, _, _ in grid]],
        "source": [("vqav2", "vsr")[s] for _, s, _ in grid],
        "rank": np.array([rank for _, _, rank in grid], np.int16),
        "sample": np.array([s * half + (i + rank) % half for i, s, rank in grid]),
        "max_activation": np.array([9 - rank for _, _, rank in grid], np.float32),
        "max_token": np.full(len(grid), 3, np.int16),
        "tokens": [tokens for _ in grid],
        "activations": [
            np.array([0, 0, 1.5, 9 - rank, 0, 0, 0.25], np.float32) for _, _, rank in grid
        ],
        "quantile": pa.array([5 if rank == 3 else None for *_, rank in grid], pa.int16()),
        "draw": pa.array([{0: 1, 3: 0}.get(rank) for *_, rank in grid], pa.int16()),
    }


def patch_activation(world: World) -> Columns:
    chosen = np.flatnonzero(world.is_candidate)
    # on the second of its pictures a feature is silent
    grid = [(i, number) for i in chosen for number in range(2)]
    n = len(grid)
    return {
        "layer": world.layer[[i for i, _ in grid]],
        "feature": world.feature[[i for i, _ in grid]],
        "sample": np.array([(i + number) % (N_SAMPLES // 2) for i, number in grid]),
        "grid_rows": np.full(n, 2, np.int16),
        "grid_columns": np.full(n, 3, np.int16),
        "seen_left": np.zeros(n, np.float32),
        "seen_top": np.full(n, -2, np.float32),
        "seen_right": np.full(n, 48, np.float32),
        "seen_bottom": np.full(n, 50, np.float32),
        "max_activation": np.array([(4, 0)[number] for _, number in grid], np.float32),
        "patches": [(bytes([0, 255, 51, 0, 0, 7]), None)[number] for _, number in grid],
    }
