"""Where image tokens lie, in every family: against what the model itself makes of bright spots.

The referee is the family's own processor, tower and packing. Its tower's attention is switched off,
so that a feature depends on what is under its token alone; then a spot inside a token's box changes
that token most, and no token whose box lies elsewhere.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from families import Family, family
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from feature_atlas.vlm.image_features import image_features
from feature_atlas.vlm.measured_geometry import UnknownGeometryError, coordinate_picture, tiles
from feature_atlas.vlm.processor_geometry import Box, geometry, seen_box
from feature_atlas.vlm.token_boxes import TokenBoxes, token_boxes
from feature_atlas.vlm.token_grid import grid_of
from feature_atlas.vlm.token_roles import encode_prompts

PACKINGS = (
    "llava", "llava_next", "llava_onevision", "qwen2_5_vl", "qwen3_vl", "gemma3", "paligemma",
    "idefics3", "smolvlm", "internvl",
)  # fmt: skip
WIDTH, HEIGHT = 180, 400
NO_PLACE = [np.nan] * 4


def without_attention(made: Family) -> Family:
    """The vision tower, its patches blind to each other."""
    last = ("out_proj", "attn.proj", "projection_layer")
    for name, module in made.model.named_modules():
        if ("vision" in name or "visual" in name) and name.endswith(last):
            module.weight.data.zero_()
            if module.bias is not None:
                module.bias.data.zero_()
    return made


@torch.no_grad()
def features(made: Family, picture: Image.Image) -> Tensor:
    return image_features(made.model, encode_prompts(made.processor, ["?"], [picture])).levels[0]


def spot(box: np.ndarray) -> np.ndarray:
    """The middle half of a box."""
    inwards = (box[2:] - box[:2]) / 4
    return np.concatenate([box[:2] + inwards, box[2:] - inwards])


def lies_apart(boxes: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """Which tokens lie elsewhere; those next to it may get some of it when resampled."""
    left, top, right, bottom = bright
    x, y = (right - left) * 0.4, (bottom - top) * 0.4
    beside = (boxes[:, 0] >= right + x) | (boxes[:, 2] <= left - x)
    return beside | (boxes[:, 1] >= bottom + y) | (boxes[:, 3] <= top - y) | np.isnan(boxes[:, 0])


@pytest.mark.parametrize("name", PACKINGS)
def test_a_bright_spot_changes_the_tokens_under_which_it_lies(name: str) -> None:
    made = without_attention(family(name))
    boxes = token_boxes(made.model, made.processor, WIDTH, HEIGHT).boxes
    black = Image.new("RGB", (WIDTH, HEIGHT))
    of_black = features(made, black)
    assert len(boxes) == len(of_black)

    for token in np.flatnonzero(np.isfinite(boxes[:, 0])):
        bright, picture = spot(boxes[token]), black.copy()
        ImageDraw.Draw(picture).rectangle(bright.round().tolist(), fill="white")
        change = (features(made, picture) - of_black).norm(dim=-1).numpy()
        assert change[token] > 0.4 * change.max()  # a token of another view may change more
        assert (change[lies_apart(boxes, bright)] < 0.05 * change[token]).all()


def boxes_of(name: str, width: int, height: int) -> TokenBoxes:
    made = family(name)
    return token_boxes(made.model, made.processor, width, height)


@pytest.mark.parametrize("name", ["llava_next", "llava_onevision"])
def test_a_view_of_the_whole_a_padded_grid_and_newlines_by_hand(name: str) -> None:
    """60 x 40 becomes 56 x 38 between 9 rows of padding; its two middle rows of tokens are kept."""
    found = boxes_of(name, 60, 40)

    top, middle, bottom = 5 / (38 / 40), 19 / (38 / 40), 33 / (38 / 40)
    upper = [[x, top, x + 15, middle] for x in (0, 15, 30, 45)]
    lower = [[x, middle, x + 15, bottom] for x in (0, 15, 30, 45)]
    whole = [[0, 0, 30, 20], [30, 0, 60, 20], [0, 20, 30, 40], [30, 20, 60, 40]]
    by_hand = [*whole, *upper, NO_PLACE, *lower, NO_PLACE]
    np.testing.assert_allclose(found.boxes, by_hand, atol=0.1)
    assert found.whole is None


@pytest.mark.parametrize("name", ["idefics3", "internvl"])
def test_tiles_and_a_view_of_the_whole_by_hand(name: str) -> None:
    """60 x 120 is cut in two, above and below, each into two by two; the view of all comes last."""
    found = boxes_of(name, 60, 120)

    tokens = [[0, 0, 1, 1], [1, 0, 2, 1], [0, 1, 1, 2], [1, 1, 2, 2]]
    upper = np.multiply(tokens, [30, 30, 30, 30])
    lower = np.add(upper, [0, 60, 0, 60])
    by_hand = np.concatenate([upper, lower, np.multiply(tokens, [30, 60, 30, 60])])
    np.testing.assert_allclose(found.boxes, by_hand, atol=0.2)


def test_packed_patches_by_hand() -> None:
    """60 x 40 becomes 84 x 56: two rows of three tokens, each of two by two patches."""
    found = boxes_of("qwen2_5_vl", 60, 40)

    by_hand = [[x, y, x + 20, y + 20] for y in (0, 20) for x in (0, 20, 40)]
    np.testing.assert_allclose(found.boxes, by_hand, atol=0.1)
    assert found.whole is not None


def test_tokens_of_a_grid_drawn_together_meet() -> None:
    """16 tiles of 2 x 2 are more than OneVision's nine: 8 x 8 become 6 x 6, as wide as a sixth."""
    made = family("llava_onevision")
    made.model.config.image_grid_pinpoints = [[112, 112]]
    made.processor.image_processor.image_grid_pinpoints = [[112, 112]]

    boxes = token_boxes(made.model, made.processor, 120, 120).boxes

    rows = boxes[4:].reshape(6, 7, 4)  # a newline ends each
    left, top = np.meshgrid(np.arange(6) * 20, np.arange(6) * 20)
    np.testing.assert_allclose(
        rows[:, :6], np.stack([left, top, left + 20, top + 20], -1), atol=0.3
    )
    assert np.isnan(rows[:, 6]).all()


# ---------------------------------------------------------------- what is not what it says


class Changed:
    """An image processor that gets other pictures than it was given."""

    def __init__(self, own, change) -> None:
        self.own, self.change = own, change

    def __call__(self, images, **settings):
        return self.own(
            [[self.change(one) for one in of_prompt] for of_prompt in images], **settings
        )

    def __getattr__(self, name):
        return getattr(self.own, name)


def shuffled(picture: Image.Image) -> Image.Image:
    """The same pixels elsewhere."""
    return Image.fromarray(np.random.default_rng(0).permutation(np.asarray(picture), axis=0))


@pytest.mark.parametrize("change", [ImageOps.mirror, shuffled, lambda p: p.rotate(90)])
def test_a_processor_that_does_more_than_resize_pad_and_cut_is_not_believed(change) -> None:
    made = family("llava")
    made.processor.image_processor = Changed(made.processor.image_processor, change)

    with pytest.raises(UnknownGeometryError):
        token_boxes(made.model, made.processor, 64, 64)


def test_padding_that_is_configured_and_not_done_is_not_believed() -> None:
    made = family("llava")
    made.processor.image_processor.do_pad = True  # CLIP's class knows no such setting

    (seen,) = tiles(made.processor, 128, 64).seen

    np.testing.assert_allclose(seen_box(seen), Box(32, 0, 96, 64), atol=0.3)
    assert seen_box(geometry(made.processor.image_processor, 128, 64)) == Box(0, -32, 128, 96)


def test_settings_that_are_kept_give_their_own_digits() -> None:
    made = family("llava")

    (seen,) = tiles(made.processor, 128, 64).seen

    assert seen == geometry(made.processor.image_processor, 128, 64)


def test_towers_that_were_never_measured_are_not_known() -> None:
    for name in ("pixtral", "mistral3"):
        with pytest.raises(UnknownGeometryError, match="never measured"):
            token_boxes(family(name).model, SimpleNamespace(), 64, 64)


def test_every_pixel_of_the_coordinate_picture_says_where_it_is() -> None:
    colours = np.asarray(coordinate_picture(640, 427)).astype(float)

    x, y = colours[..., 0].mean(0) / 255 * 640, colours[..., 1].mean(1) / 255 * 427
    # a line's mean, closer than the 2.5 pixels of one level of colour
    np.testing.assert_allclose(x[3:-3], np.arange(3, 637) + 0.5, atol=0.1)
    np.testing.assert_allclose(y[3:-3], np.arange(3, 424) + 0.5, atol=0.1)


# ---------------------------------------------------------------- laid on an even grid


def test_weights_on_a_grid_keep_their_sum_and_lie_where_their_boxes_do() -> None:
    boxes = np.array([[0, 0, 60, 40], [30, 0, 60, 20], [-15, 20, 15, 40], NO_PLACE], float)

    grid = grid_of(TokenBoxes(boxes, None), 60, 40)
    cells = grid.laid(np.array([[0.4, 0.1, 0.2, 0.3], [0, 1, 0, 0]]))

    assert grid.shape == (2, 2)
    assert seen_box(grid.seen) == Box(0, 0, 60, 40)
    # a quarter of the first each; half of the third lies in padding; the last has no place
    np.testing.assert_allclose(cells, [[0.1, 0.2, 0.2, 0.1], [0, 1, 0, 0]])


@pytest.mark.parametrize("name", PACKINGS)
def test_activations_on_a_grid_are_means_of_the_tokens_that_lie_there(name: str) -> None:
    placed = boxes_of(name, WIDTH, HEIGHT)
    grid = grid_of(placed, WIDTH, HEIGHT)
    values = np.random.default_rng(1).random((2, len(placed.boxes)))

    found = grid.averaged(values)

    if placed.whole is not None:  # tokens are cells, row by row
        assert found is values
        return
    rows, columns = grid.shape
    for cell in range(rows * columns):
        row, column = divmod(cell, columns)
        left, right = WIDTH * column / columns, WIDTH * (column + 1) / columns
        top, bottom = HEIGHT * row / rows, HEIGHT * (row + 1) / rows
        weights = np.zeros(len(placed.boxes))
        for token, (x0, y0, x1, y1) in enumerate(placed.boxes):
            if np.isfinite(x0):
                width, height = min(x1, right) - max(x0, left), min(y1, bottom) - max(y0, top)
                weights[token] = max(width, 0) * max(height, 0) / ((x1 - x0) * (y1 - y0))
        expected = values @ weights / weights.sum() if weights.sum() > 0 else np.zeros(2)
        np.testing.assert_allclose(found[:, cell], expected, rtol=1e-9, atol=1e-12)


def test_the_parts_of_one_tile_are_the_cells_as_they_are() -> None:
    placed = boxes_of("gemma3", 60, 40)
    weights = np.random.default_rng(0).random((3, 4), np.float32)

    grid = grid_of(placed, 60, 40)

    assert grid.laid(weights) is weights
    assert (grid.shape, seen_box(grid.seen)) == ((2, 2), Box(0, 0, 60, 40))
    with pytest.raises(UnknownGeometryError, match="5 image tokens"):
        grid.laid(np.zeros((3, 5)))
