"""Where a head looks, laid over the picture.

Weights are one per patch, row by row from the top left; the run stores where the patches lie on the
picture, since its processor may have cropped or padded it. The picture stays clear where the head
looks most and darkens where it does not, so that its own colours survive; the scale is each head's
strongest patch. Tiny pictures are enlarged pixel by pixel, never blurred.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

WIDTH = 256
"""Pixels that a small picture's longer side is enlarged to, at least."""

VEIL = (24, 22, 48)
MAX_OPACITY = 0.85


class Seen(NamedTuple):
    """What the patches cover of the picture, in shares of its width and height."""

    left: float = 0.0
    """0: the picture's left edge; below 0 where it was padded."""
    top: float = 0.0
    """0: its upper edge."""
    right: float = 1.0
    """1: its right edge; above 1 where it was padded."""
    bottom: float = 1.0
    """1: its lower edge."""


def crisp(picture: bytes, width: int = WIDTH) -> Image.Image:
    """The picture in RGB, enlarged by a whole factor until its longer side is `width`."""
    image = Image.open(BytesIO(picture)).convert("RGB")
    factor = max(1, -(-width // max(image.size)))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def overlay(
    picture: bytes,
    weights: Sequence[float],
    grid_rows: int,
    grid_columns: int,
    seen: Seen | None = None,
) -> Image.Image:
    """The picture with each patch as clear as the attention on it; dark where it was cropped away.

    `seen` None, in runs that did not store it: a square grid covers the centre square.
    """
    if len(weights) != grid_rows * grid_columns:
        raise ValueError(
            f"{len(weights)} weights came for a grid of {grid_rows} x {grid_columns}; "
            f"expected {grid_rows * grid_columns}."
        )
    image = crisp(picture)
    grid = np.asarray(weights, dtype=np.float64).reshape(grid_rows, grid_columns)
    strength = grid / grid.max() if grid.max() > 0 else grid
    left, top, right, bottom = seen or _centre(image.size, grid_rows, grid_columns)
    row = _patch_under(image.height, top, bottom, grid_rows)
    column = _patch_under(image.width, left, right, grid_columns)
    inside = np.outer((row >= 0) & (row < grid_rows), (column >= 0) & (column < grid_columns))
    shown = strength[np.ix_(row.clip(0, grid_rows - 1), column.clip(0, grid_columns - 1))] * inside
    veil = Image.fromarray(np.round((1 - shown) * MAX_OPACITY * 255).astype(np.uint8))
    return Image.composite(Image.new("RGB", image.size, VEIL), image, veil)


def _patch_under(n_pixels: int, start: float, end: float, n_patches: int) -> np.ndarray:
    """The patch under the middle of each pixel of a line; below 0 or too many: none."""
    middle = (np.arange(n_pixels) + 0.5) / n_pixels
    return np.floor((middle - start) / (end - start) * n_patches).astype(int)


def _centre(size: tuple[int, int], grid_rows: int, grid_columns: int) -> Seen:
    if grid_rows != grid_columns:
        return Seen()
    width, height = size
    across, down = min(width, height) / width / 2, min(width, height) / height / 2
    return Seen(0.5 - across, 0.5 - down, 0.5 + across, 0.5 + down)
