"""Where a head looks, laid over the picture.

Weights are one per patch, row by row from the top left. The picture stays clear where the head
looks most and darkens where it does not, so that its own colours survive; the scale is each head's
strongest patch. Tiny pictures are enlarged pixel by pixel, never blurred.
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

WIDTH = 256
"""Pixels that a small picture's longer side is enlarged to, at least."""

VEIL = (24, 22, 48)
MAX_OPACITY = 0.85


def crisp(picture: bytes, width: int = WIDTH) -> Image.Image:
    """The picture in RGB, enlarged by a whole factor until its longer side is `width`."""
    image = Image.open(BytesIO(picture)).convert("RGB")
    factor = max(1, -(-width // max(image.size)))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def overlay(
    picture: bytes, weights: Sequence[float], grid_rows: int, grid_columns: int
) -> Image.Image:
    """The picture with each patch as clear as the attention on it.

    A square grid over an oblong picture covers its centre square: what the vision tower saw.
    """
    if len(weights) != grid_rows * grid_columns:
        raise ValueError(
            f"{len(weights)} weights came for a grid of {grid_rows} x {grid_columns}; "
            f"expected {grid_rows * grid_columns}."
        )
    image = crisp(picture)
    grid = np.asarray(weights, dtype=np.float64).reshape(grid_rows, grid_columns)
    strength = grid / grid.max() if grid.max() > 0 else grid
    left, top, right, bottom = _seen(image.size, grid_rows, grid_columns)
    patches = Image.fromarray(np.round((1 - strength) * MAX_OPACITY * 255).astype(np.uint8))
    veil = Image.new("L", image.size, round(MAX_OPACITY * 255))
    veil.paste(patches.resize((right - left, bottom - top), Image.Resampling.NEAREST), (left, top))
    return Image.composite(Image.new("RGB", image.size, VEIL), image, veil)


def _seen(size: tuple[int, int], grid_rows: int, grid_columns: int) -> tuple[int, int, int, int]:
    width, height = size
    if grid_rows != grid_columns:
        return 0, 0, width, height
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side
