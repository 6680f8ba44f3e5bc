"""A made-up set of SAEs: how well it reconstructs, before and while it is adapted."""

from typing import Any

import numpy as np

from made_up.world import Columns, World


def sae_set(world: World) -> dict[str, Any]:
    """The manifest's entry of the SAEs."""
    return {
        "name": "tiny-scope",
        "release": "tiny-scope",
        "fingerprint": "f1",
        "gate": "topk",
        "k": 8,
        "d_sae": world.d_sae,
        "d_model": 16,
        "hook_site": "resid_post",
        "layers": list(world.layers),
        "activation_scale": [4.0] * len(world.layers),
    }


def gate_check(world: World) -> Columns:
    n = len(world.layers)
    return {
        "layer": np.array(world.layers, np.int16),
        "l0": np.full(n, 7.5, np.float32),
        "fvu": np.full(n, 0.0625, np.float32),
        "share_dead": np.full(n, 0.125, np.float32),
        "mean_norm": np.full(n, 4, np.float32),
        "n_tokens": np.full(n, 2048, np.int64),
        "stated_l0": np.full(n, 8, np.float32),
        "stated_fvu": np.full(n, 0.05, np.float32),
        "stated_share_dead": np.full(n, 0.1, np.float32),
    }


def training_curve(world: World) -> Columns:
    regimes, steps = ("text", "image", "full"), (0, 1000, 2000)
    grid = [
        (regime, layer, step, role)
        for regime in regimes
        for layer in world.layers
        for step in steps
        for role in ("all", "image", "question")
    ]
    n = len(grid)
    worse = np.array([0 if role == "all" else 0.5 for *_, role in grid])
    return {
        "regime": [r for r, *_ in grid],
        "layer": np.array([layer for _, layer, _, _ in grid], np.int16),
        "tokens_seen": np.array([s for _, _, s, _ in grid], np.int64),
        "role": [role for *_, role in grid],
        "fvu": (worse + [0.9 * 0.5 ** (s / 1000) for _, _, s, _ in grid]).astype(np.float32),
        "l0": world.share(n, 6, 8),
        "n_tokens": np.full(n, 4096, np.int64),
        "learning_rate": np.full(n, 3e-4, np.float32),
    }
