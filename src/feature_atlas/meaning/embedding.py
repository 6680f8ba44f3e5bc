"""Texts as vectors, by whatever model: the smaller the angle, the nearer the meaning."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Embedder(Protocol):
    """A model that turns texts into vectors."""

    model: str
    """What the model is called."""
    revision: str
    """Hash over its files; empty where it is not known."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One row of numbers for each text, in order."""


def checked_vectors(rows: Sequence[Any], n_texts: int, source: str) -> np.ndarray:
    """The rows as one array, float32; an error that says what is wrong with them.

    Every text needs one vector, all of one length, of finite numbers that are not all 0.
    """
    if len(rows) != n_texts:
        raise ValueError(f"{source} gave {len(rows)} vectors for {n_texts} texts.")
    lengths = sorted({len(row) if isinstance(row, list | np.ndarray) else 0 for row in rows})
    if len(lengths) != 1 or lengths[0] == 0:
        raise ValueError(
            f"{source} gave vectors of {' and '.join(map(str, lengths))} numbers; expected one "
            "length, above 0, for all texts."
        )
    try:
        vectors = np.array(rows, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source} gave a vector that is not of numbers: {error}.") from None
    is_bad = ~np.isfinite(vectors).all(1) | ~vectors.any(1)
    if is_bad.any():
        raise ValueError(
            f"{source} gave a vector with NaN, infinity or only zeros for text "
            f"{int(np.flatnonzero(is_bad)[0])} of {n_texts}: it has no direction."
        )
    return vectors
