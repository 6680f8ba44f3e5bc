"""Where what a vision tower gets lies in the picture (paper 5.2, C.2), measured.

A setting may be one that the processor's class ignores. So three pictures go through the processor
as prompts do: a black one, a white one, and one whose red and green say where each pixel is. What
comes out alike for black and white is padding; elsewhere, whatever was done to the colours,

    place = (drawn - black) / (white - black)

and a line through the places of all pixels, along either edge, is the map from picture to tile.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor
from transformers import ProcessorMixin

from feature_atlas.vlm.processor_geometry import Geometry, geometry, seen_box
from feature_atlas.vlm.token_roles import PromptBatch, encode_prompts

QUESTION = "What is it?"
"""Any will do: what a processor does to a picture does not depend on it."""
LEVELS = 255
"""Of a colour, above black."""
GOLDEN = 0.618034
"""Its multiples are spread evenly between whole numbers: so rounding evens out over a line."""
PURE = 0.98
"""Share of a pixel that must come from the picture; less is blended with padding."""
N_PIXELS = 4
"""Pixels in a line that are needed to know its scale."""
RIM = 2
"""Pixels at the picture's edges that are resampled unlike the rest, of whichever kind is larger."""
UNEVEN = 1.5
"""How far from their line places may lie, root mean square, in levels of colour, and half a pixel
of the tile."""


class UnknownGeometryError(ValueError):
    """It is not known where what the tower gets lies in the picture; says why."""


class Tiles(NamedTuple):
    """What a vision tower gets of a picture."""

    seen: list[Geometry | None]
    """Of each tile; None where (next to) nothing of the picture is in it."""
    packed: bool
    """One tile, cut into patches by the processor: tokens are its parts, row by row."""
    batch: PromptBatch
    """A prompt with a picture of this size."""


def tiles(processor: ProcessorMixin, width: int, height: int) -> Tiles:
    """The tiles that a processor makes of pictures of one size."""
    black, white, drawn = (
        _prompt(processor, picture)
        for picture in (
            Image.new("RGB", (width, height)),
            Image.new("RGB", (width, height), "white"),
            coordinate_picture(width, height),
        )
    )
    packed = black.processed["pixel_values"].ndim == 2
    low, high, found = (_pixels(processor, batch) for batch in (black, white, drawn))
    if low.shape != found.shape or low.shape[1] != 3:
        raise UnknownGeometryError(
            f"pictures of one size became pixels of {list(low.shape)} and {list(found.shape)}: "
            "expected the same number of tiles of three colours."
        )
    room = high - low
    pure = room >= PURE * room.max((0, 2, 3), keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        places = np.where(pure.all(1, keepdims=True), (found - low) / room, np.nan)
    seen = [_fitted(x * width, y * height, width, height) for x, y in places[:, :2]]
    if not any(seen):
        raise UnknownGeometryError("nothing of a picture could be found again in the pixels.")
    if len(seen) == 1 and seen[0] is not None:
        seen = [_as_stated(processor.image_processor, seen[0], width, height)]
    return Tiles(seen, packed, drawn)


def coordinate_picture(width: int, height: int) -> Image.Image:
    """Red grows from left to right, green from top to bottom; rounded up or down line by line."""
    x, y = np.arange(width), np.arange(height)[:, None]
    red = LEVELS * (x + 0.5) / width + (GOLDEN * (y + 1)) % 1
    green = LEVELS * (y + 0.5) / height + (GOLDEN * (x + 1)) % 1
    drawn = [Image.fromarray(one.clip(0, LEVELS).astype(np.uint8)) for one in (red, green)]
    return Image.merge("RGB", [*drawn, Image.new("L", (width, height))])


def _prompt(processor: ProcessorMixin, picture: Image.Image) -> PromptBatch:
    batch = encode_prompts(processor, [QUESTION], [picture])
    if "pixel_values" not in batch.processed:
        raise UnknownGeometryError(f"{type(processor).__name__} returned no pixel_values.")
    return batch


def _pixels(
    processor: ProcessorMixin, batch: PromptBatch
) -> Float[np.ndarray, "tile colour row column"]:
    pixels = batch.processed["pixel_values"]
    if pixels.ndim == 2:
        pixels = _unpacked(processor.image_processor, pixels, batch.processed)
    if pixels.ndim < 4:
        raise UnknownGeometryError(
            f"pixel_values of {list(pixels.shape)}: expected tiles, or patches in one row."
        )
    flat: Float[np.ndarray, "tile colour row column"] = pixels.flatten(0, -4).double().numpy()
    return flat


def _unpacked(image_processor: Any, patches: Tensor, further: Mapping[str, Tensor]) -> Tensor:
    """Qwen's patches as one tile; were their order another, its places would fit no line."""
    try:
        merge, times = image_processor.merge_size, image_processor.temporal_patch_size
        _, rows, columns = further["image_grid_thw"][0].tolist()
        side = round((patches.shape[1] / 3 / times) ** 0.5)
        cut = patches.view(rows // merge, columns // merge, merge, merge, 3, times, side, side)
    except (AttributeError, KeyError, RuntimeError) as error:
        raise UnknownGeometryError(
            f"patches of {list(patches.shape)} in an order that is not Qwen's ({error})."
        ) from error
    still = cut[:, :, :, :, :, 0].permute(4, 0, 2, 5, 1, 3, 6)
    return still.reshape(1, 3, rows * side, columns * side)


def _fitted(
    x: Float[np.ndarray, "row column"],
    y: Float[np.ndarray, "row column"],
    width: int,
    height: int,
) -> Geometry | None:
    """The map from the picture to one tile, from where its pixels lie in the picture."""
    rows, columns = x.shape
    across, down = _line(x, width), _line(y.T, height)
    if across is None or down is None:
        return None
    return Geometry(
        scale_x=1 / across[0],
        scale_y=1 / down[0],
        offset_x=-across[1] / across[0],
        offset_y=-down[1] / down[0],
        width=columns,
        height=rows,
    )


def _line(places: Float[np.ndarray, "line pixel"], length: int) -> tuple[float, float] | None:
    """Pixels of the picture per pixel of the tile, and where the tile begins."""
    known = np.isfinite(places)
    if known.any(0).sum() < N_PIXELS:
        return None
    step, start, off = _least_squares(places, known)
    rim = RIM * max(1.0, abs(step))
    inner = known & (places > rim) & (places < length - rim)
    if inner.any(0).sum() >= N_PIXELS:
        step, start, off = _least_squares(places, inner)
    if step <= 0 or off > UNEVEN * length / LEVELS + step / 2:
        raise UnknownGeometryError(
            f"pixels lie {off:.1f} pixels of the picture off an even map of its {length}: expected "
            "a picture that is resized, padded and cut, and not turned or mirrored."
        )
    return step, start


def _least_squares(
    places: Float[np.ndarray, "line pixel"], known: Bool[np.ndarray, "line pixel"]
) -> tuple[float, float, float]:
    """Step and start of the straight line through known places, and how far they lie off it."""
    pixel, counts = np.arange(places.shape[1]) + 0.5, known.sum(0)
    middle = np.average(pixel, weights=counts)
    mean = places.mean(where=known)
    sums = np.sum(places - mean, axis=0, where=known)
    step = (sums @ (pixel - middle)) / (counts @ (pixel - middle) ** 2)
    start = mean - step * middle
    off = np.square(places - (step * pixel + start)).mean(where=known) ** 0.5
    return float(step), float(start), float(off)


def _as_stated(image_processor: Any, found: Geometry, width: int, height: int) -> Geometry:
    """What the settings say, to the last digit, where it is what was found, within a pixel."""
    try:
        stated = geometry(image_processor, width, height)
    except (AttributeError, KeyError, TypeError, ValueError):
        return found
    apart = np.abs(np.subtract(seen_box(stated), seen_box(found)))
    pixel = np.maximum(1, [1 / found.scale_x, 1 / found.scale_y] * 2)
    same = (stated.width, stated.height) == (found.width, found.height)
    return stated if same and (apart <= pixel).all() else found
