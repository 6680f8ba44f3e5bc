"""The features of a made-up run, and where its random numbers come from."""

import hashlib
from typing import Any

import numpy as np

Columns = dict[str, Any]

RELATIONS = ("left of", "right of", "above", "below")
N_IMAGES, N_SAMPLES = 6, 24  # samples 0..11 are VQA, 12..23 VSR
N_ADAPTED, N_CANDIDATES, N_SURVIVORS = 16, 6, 4  # per layer, the first features


class World:
    """One layer's features after the other's; tables draw their numbers from `random` in turn."""

    def __init__(self, seed: int, layers: tuple[int, ...], d_sae: int) -> None:
        self.random = np.random.default_rng(seed)
        self.seed, self.layers, self.d_sae = seed, layers, d_sae
        self.n = len(layers) * d_sae
        self.layer = np.repeat(np.array(layers, np.int16), d_sae)
        self.feature = np.tile(np.arange(d_sae, dtype=np.int32), len(layers))
        self.is_adapted = self.feature < N_ADAPTED
        self.is_candidate = self.feature < N_CANDIDATES
        self.survives = self.feature < N_SURVIVORS

    def keys(self, repeat: int = 1) -> Columns:
        """Layer and feature of every feature, several times over."""
        return {"layer": np.tile(self.layer, repeat), "feature": np.tile(self.feature, repeat)}

    def share(self, n: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """Random numbers in a range, single precision."""
        return self.random.uniform(low, high, n).astype(np.float32)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
