"""Where a patch lies in the picture (paper 5.2, C.2): the processor's pad, resize and crop undone.

What a processor's settings say is held against its pixels in `measured_geometry`.

    x_seen = scale_x * x + offset_x,   y_seen = scale_y * y + offset_y

The vision tower cuts what it sees into patches, row by row from the top left. All is in pixels of
the upright picture: rotations in its EXIF data are applied before the processor sees it.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from transformers.image_utils import SizeDict


class Box(NamedTuple):
    """A rectangle in a picture, in pixels from its upper left corner."""

    left: float
    """Where it begins; below 0 where it reaches out of the picture."""
    top: float
    """Likewise, from above."""
    right: float
    """Where it ends; more than the width where it reaches out of the picture."""
    bottom: float
    """Likewise, from above."""


class Geometry(NamedTuple):
    """How a processor maps a picture: x_seen = scale_x * x + offset_x, likewise y; in pixels."""

    scale_x: float
    """Pixels seen per pixel of the picture, across."""
    scale_y: float
    """Pixels seen per pixel of the picture, down."""
    offset_x: float
    """Where the picture's left edge comes to lie: positive when padded, negative when cropped."""
    offset_y: float
    """Where its upper edge comes to lie."""
    width: int
    """Of what the vision tower sees."""
    height: int
    """Of what the vision tower sees."""


def geometry(processor: Any, width: int, height: int) -> Geometry:
    """What an image processor of the CLIP or Llava kind does to a picture: pad, resize, crop.

    Padding is Llava's (to a square, picture in the middle). Turn EXIF rotations upright before the
    processor and before this: neither of the two knows of them.
    """
    side = max(width, height) if getattr(processor, "do_pad", False) else None
    padded_width, padded_height = side or width, side or height
    pad_x, pad_y = (padded_width - width) // 2, (padded_height - height) // 2
    new_width, new_height = padded_width, padded_height
    if processor.do_resize:
        new_width, new_height = _resized(processor.size, padded_width, padded_height)
    seen_width, seen_height = new_width, new_height
    if getattr(processor, "do_center_crop", False):
        seen_width, seen_height = processor.crop_size["width"], processor.crop_size["height"]
    scale_x, scale_y = new_width / padded_width, new_height / padded_height
    return Geometry(
        scale_x=scale_x,
        scale_y=scale_y,
        offset_x=pad_x * scale_x - (new_width - seen_width) // 2,
        offset_y=pad_y * scale_y - (new_height - seen_height) // 2,
        width=seen_width,
        height=seen_height,
    )


def _resized(size: SizeDict, width: int, height: int) -> tuple[int, int]:
    """Width and height after the resize, rounded as transformers rounds."""
    if size.get("shortest_edge") and not size.get("longest_edge"):
        short, long = sorted((width, height))
        new_short, new_long = size["shortest_edge"], int(size["shortest_edge"] * long / short)
        return (new_short, new_long) if width <= height else (new_long, new_short)
    if size.get("height") and size.get("width"):
        return size["width"], size["height"]
    raise ValueError(
        f"image processor with size {dict(size)}: expected shortest_edge alone, or height and "
        "width; of others the geometry is measured (measured_geometry)."
    )


def seen_box(seen: Geometry) -> Box:
    """What the tower's patches cover of the picture: smaller after a crop, larger after padding."""
    left, top = -seen.offset_x / seen.scale_x, -seen.offset_y / seen.scale_y
    return Box(left, top, left + seen.width / seen.scale_x, top + seen.height / seen.scale_y)


def grid_shape(n_patches: int, seen: Geometry) -> tuple[int, int]:
    """Rows and columns of the patch grid: square patches that tile what the tower sees."""
    side = (seen.width * seen.height / n_patches) ** 0.5
    rows, columns = round(seen.height / side), round(seen.width / side)
    if rows * columns != n_patches:
        raise ValueError(
            f"{n_patches} image tokens do not tile {seen.width} x {seen.height} pixels in square "
            "patches; this vision tower adds or merges tokens."
        )
    return rows, columns


def on_picture(
    grid: Float[np.ndarray, "row column"], seen: Geometry, width: int, height: int
) -> Float[np.ndarray, "height width"]:
    """The patch weight under every pixel of the original picture; 0 where it was cropped away."""
    rows, columns = grid.shape
    x = seen.scale_x * (np.arange(width) + 0.5) + seen.offset_x
    y = seen.scale_y * (np.arange(height) + 0.5) + seen.offset_y
    column = np.floor(x * columns / seen.width).astype(int)
    row = np.floor(y * rows / seen.height).astype(int)
    visible = np.outer((row >= 0) & (row < rows), (column >= 0) & (column < columns))
    heat = grid[np.ix_(row.clip(0, rows - 1), column.clip(0, columns - 1))]
    return np.where(visible, heat, 0.0)
