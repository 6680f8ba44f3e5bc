"""Where patches lie in the picture: against what the real processors, and PIL, do to pixels."""

import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from feature_atlas.vlm.processor_geometry import (
    Box,
    Geometry,
    geometry,
    grid_shape,
    on_picture,
    seen_box,
)

GRID, PIXELS = 4, 32


def clip(**size: int) -> CLIPImageProcessorPil:
    square = {"height": PIXELS, "width": PIXELS}
    return CLIPImageProcessorPil(size=size or {"shortest_edge": PIXELS}, crop_size=square)


def llava_padded() -> LlavaImageProcessorPil:
    square = {"height": PIXELS, "width": PIXELS}
    return LlavaImageProcessorPil(size=square, crop_size=square, do_pad=True)


PROCESSORS = {
    "centre crop": clip(),
    "stretch": clip(height=PIXELS, width=PIXELS),
    "pad": llava_padded(),
}


@pytest.mark.parametrize("processor", PROCESSORS.values(), ids=PROCESSORS)
@pytest.mark.parametrize("size", [(64, 64), (128, 64), (64, 128), (100, 60)], ids=str)
@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_the_red_half_of_a_picture_lights_up_on_its_own_side(processor, size, side) -> None:
    """Through the real processor: redness per patch, brought back to the picture."""
    width, height = size
    x, y = np.arange(width) < width / 2, (np.arange(height) < height / 2)[:, None]
    red = {"left": x, "right": ~x, "top": y, "bottom": ~y}[side] & np.ones((height, width), bool)
    picture = Image.fromarray(np.where(red[..., None], (255, 0, 0), (0, 0, 255)).astype(np.uint8))

    pixels = processor(images=picture, return_tensors="np")["pixel_values"][0]
    red_channel, _, blue_channel = pixels.reshape(3, GRID, PIXELS // GRID, GRID, -1).mean((2, 4))
    seen = geometry(processor, width, height)
    heat = on_picture((red_channel > blue_channel).astype(float), seen, width, height)

    assert (seen.height, seen.width) == pixels.shape[1:]
    assert grid_shape(GRID * GRID, seen) == (GRID, GRID)
    cut = abs(width - height) // 2 if processor is PROCESSORS["centre crop"] else 0
    cut_x, cut_y = (cut, 0) if width > height else (0, cut)
    inside = np.s_[cut_y : height - cut_y, cut_x : width - cut_x]
    # Edges of odd sizes may be off by one pixel seen, which is up to two of the picture.
    assert (heat[inside] == red[inside]).mean() >= (0.93 if width % 64 else 1.0)
    assert heat.sum() - heat[inside].sum() <= (2 * height if width % 64 else 0)


def test_geometry_of_a_wide_picture_by_hand() -> None:
    assert geometry(clip(), 128, 64) == Geometry(0.5, 0.5, -16, 0, 32, 32)  # 64 x 32, 16 cut off
    assert geometry(llava_padded(), 128, 64) == Geometry(0.25, 0.25, 0, 8, 32, 32)  # 8 rows of pad


def test_an_unknown_resize_rule_says_what_is_expected() -> None:
    processor = clip(longest_edge=50)

    with pytest.raises(ValueError, match="expected shortest_edge alone, or height and width"):
        geometry(processor, 10, 10)


def test_575_tokens_do_not_tile_a_square() -> None:
    with pytest.raises(ValueError, match="575 image tokens do not tile 336 x 336"):
        grid_shape(575, Geometry(1, 1, 0, 0, 336, 336))


def ramp(width: int, height: int, axis: int) -> Image.Image:
    """A picture whose every pixel says where its middle is, as PIL's floating-point mode."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return Image.fromarray((x, y)[axis].astype(np.float32), "F")


def by_pil(name: str, picture: Image.Image, axis: int) -> Image.Image:
    """What each processor does, in PIL's own words; a ramp goes on in the padding."""
    width, height = picture.size
    if name == "pad":
        side = max(width, height)
        left, top = (side - width) // 2, (side - height) // 2
        wide = Image.fromarray(np.asarray(ramp(side, side, axis)) - (left, top)[axis], "F")
        wide.paste(picture, (left, top))
        return wide.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC)
    if name == "stretch":
        return picture.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC)
    scale = PIXELS / min(width, height)
    resized = picture.resize((int(width * scale), int(height * scale)), Image.Resampling.BICUBIC)
    left, top = (resized.width - PIXELS) // 2, (resized.height - PIXELS) // 2
    return resized.crop((left, top, left + PIXELS, top + PIXELS))


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("size", [(64, 64), (160, 48), (48, 160), (101, 67)], ids=str)
def test_every_patch_lies_where_pil_took_it_from(name: str, size: tuple[int, int]) -> None:
    box = seen_box(geometry(PROCESSORS[name], *size))

    for axis, start, end in ((0, box.left, box.right), (1, box.top, box.bottom)):
        seen = np.asarray(by_pil(name, ramp(*size, axis), axis))
        # the mean over a patch is the place of its middle; the rims are resampled unlike the rest
        middles = seen.reshape(GRID, PIXELS // GRID, GRID, -1).mean((1, 3)).mean(axis)
        ours = start + (np.arange(GRID) + 0.5) / GRID * (end - start)
        np.testing.assert_allclose(ours[1:-1], middles[1:-1], atol=0.02 * max(size))


def test_boxes_of_a_wide_picture_by_hand() -> None:
    assert seen_box(geometry(clip(), 128, 64)) == Box(32, 0, 96, 64)
    assert seen_box(geometry(llava_padded(), 128, 64)) == Box(0, -32, 128, 96)
    assert seen_box(geometry(clip(height=PIXELS, width=PIXELS), 128, 64)) == Box(0, 0, 128, 64)
