"""What a made-up run is about: the model, the data, their pictures and questions."""

import io
import json
from typing import Any

import numpy as np
from PIL import Image

from made_up.world import N_IMAGES, N_SAMPLES, RELATIONS, Columns, World, sha256


def vlm(world: World) -> dict[str, Any]:
    """The manifest's entry of the model."""
    return {
        "name": "tiny-llava",
        "revision": None,
        "fingerprint": "f0",
        "architecture": "LlavaForConditionalGeneration",
        "n_layers": len(world.layers),
        "d_model": 16,
        "n_heads": 4,
        "n_kv_heads": 2,
        "base_name": "tiny-llama",
        "base_fingerprint": None,
    }


def datasets() -> list[dict[str, Any]]:
    """The manifest's entries of the data."""
    found = [
        {"key": 0, "name": "vqav2-val", "kind": "vqav2", "split": "val"},
        {"key": 1, "name": "vsr-test", "kind": "vsr", "split": "test"},
    ]
    return [
        dataset | {"fingerprint": f"data-{dataset['key']}", "n_samples": N_SAMPLES // 2}
        for dataset in found
    ]


def image(world: World) -> Columns:
    thumbnails = []
    for number in range(N_IMAGES):
        colour = tuple(int(part) for part in world.random.integers(0, 255, 3))
        picture, stored = Image.new("RGB", (48, 48 + number), colour), io.BytesIO()
        picture.save(stored, "PNG")
        thumbnails.append(stored.getvalue())
    return {
        "image": np.arange(N_IMAGES, dtype=np.int64),
        # hash of the number, not of the random colour: runs of all seeds share the images
        "sha256": [sha256(str(number).encode()) for number in range(N_IMAGES)],
        "width": np.full(N_IMAGES, 48, np.int32),
        "height": np.arange(48, 48 + N_IMAGES, dtype=np.int32),
        "uri": [f"images/{number}.png" for number in range(N_IMAGES)],
        "thumbnail": thumbnails,
    }


def sample(world: World) -> Columns:
    number = np.arange(N_SAMPLES, dtype=np.int64)
    half = N_SAMPLES // 2
    is_vsr = number >= half
    relation = [RELATIONS[i % len(RELATIONS)] for i in number]
    return {
        "sample": number,
        "image": number % N_IMAGES,
        "dataset": is_vsr.astype(np.int32),
        "external_id": [f"question-{i}" for i in number],
        "question": [
            f"The circle is {relation[i]} the square."
            if is_vsr[i]
            else f"Is the circle {relation[i]} the square?"
            for i in number
        ],
        "answer": ["yes" if i % 2 else "no" for i in number],
        "question_type": [None if is_vsr[i] else "is the" for i in number],
        "answer_type": [None if is_vsr[i] else "yes/no" for i in number],
        "relation": relation,
        "truth": [json.dumps({"objects": ["circle", "square"], "é": None})] * N_SAMPLES,
    }


def forward_check(world: World) -> Columns:
    pieces = ("answer", "heads", "remembered", "residual", "resumed")
    grid = [(piece, layer) for piece in pieces for layer in world.layers]
    n = len(grid)
    return {
        "piece": [piece for piece, _ in grid],
        "layer": np.array([layer for _, layer in grid], np.int16),
        "difference": np.full(n, 3e-7, np.float32),
        "bound": np.full(n, 1e-4, np.float32),
        "n_prompts": np.full(n, 4, np.int64),
    }
