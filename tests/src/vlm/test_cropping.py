import numpy as np
import pytest
from transformers import CLIPImageProcessorPil, LlavaImageProcessorPil

from feature_atlas.vlm.cropping import share_lost
from feature_atlas.vlm.processor_geometry import Box, geometry, seen_box

SIDE = 32


def clip():
    return CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )


def lost(processor, width, height):
    return share_lost([seen_box(geometry(processor, width, height))], width, height)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(64, 64, 0), (128, 64, 1 / 2), (64, 256, 3 / 4), (640, 480, 1 / 4)],
)
def test_a_centre_crop_takes_what_is_longer_than_wide(width, height, expected):
    assert lost(clip(), width, height) == pytest.approx(expected, abs=0.02)


def test_what_is_lost_is_what_changes_nothing_for_the_tower():
    """Columns whose colour never reaches the pixel values, counted."""
    width, height = 96, 48
    seen = 0
    for column in range(width):
        picture = np.zeros((height, width, 3), np.uint8)
        picture[:, column] = 255
        pixels = clip()(images=picture, return_tensors="np", do_normalize=False)["pixel_values"]
        seen += pixels.max() > 0.05

    assert lost(clip(), width, height) == pytest.approx(1 - seen / width, abs=0.06)


def test_padding_to_a_square_loses_nothing():
    processor = LlavaImageProcessorPil(
        do_pad=True, size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )

    assert lost(processor, 640, 480) == pytest.approx(0, abs=1e-9)


def test_of_several_tiles_what_none_of_them_shows_is_lost():
    left, right, reaching_out = Box(0, 0, 30, 40), Box(40, 0, 60, 40), Box(-10, 20, 70, 60)

    assert share_lost([left, right], 60, 40) == pytest.approx(10 / 60)
    assert share_lost([left, right, reaching_out], 60, 40) == pytest.approx(10 * 20 / (60 * 40))
    assert share_lost([], 60, 40) == 1
