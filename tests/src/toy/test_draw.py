from io import BytesIO
from random import Random

import numpy as np
from PIL import Image

from feature_atlas.toy.draw import BACKGROUND, CELL_PIXELS, IMAGE_PIXELS, RGB, draw_scene
from feature_atlas.toy.scene import GRID, Scene, Sign, Thing, random_scene

WHITE = (255, 255, 255)


def through_jpeg(picture: np.ndarray) -> np.ndarray:
    file = BytesIO()
    Image.fromarray(picture).save(file, format="JPEG", quality=95, subsampling=0)
    return np.asarray(Image.open(file))


def seen_in(picture: np.ndarray) -> dict[int, str]:
    """Cell to colour (or "sign"), from the pixels alone: the nearest palette colours."""
    palette = {"nothing": BACKGROUND, "sign": WHITE, **RGB}
    names, values = list(palette), np.array(list(palette.values()), dtype=float)
    seen = {}
    for cell in range(GRID * GRID):
        top, left = (CELL_PIXELS * index for index in divmod(cell, GRID))
        inside = picture[top + 3 : top + 13, left + 3 : left + 13].reshape(-1, 3).astype(float)
        nearest = np.linalg.norm(inside[:, None] - values, axis=-1).argmin(-1)
        votes = np.bincount(nearest, minlength=len(names))
        votes[0] = 0 if (nearest != 0).sum() > 20 else votes[0]
        if votes[1] > 8:
            seen[cell] = "sign"
        elif votes.argmax() != 0:
            seen[cell] = names[votes.argmax()]
    return seen


def test_the_cells_can_be_read_back_from_the_jpeg():
    random, noise = Random(5), np.random.default_rng(5)
    for _ in range(50):
        scene = random_scene(random)
        expected = {thing.cell: thing.colour for thing in scene.things}
        if scene.sign:
            expected[scene.sign.cell] = "sign"

        assert seen_in(through_jpeg(draw_scene(scene, noise))) == expected


def test_a_picture_is_64_pixels_of_three_bytes():
    picture = draw_scene(Scene(()), np.random.default_rng(0))

    assert picture.shape == (IMAGE_PIXELS, IMAGE_PIXELS, 3)
    assert picture.dtype == np.uint8


def test_a_thing_stays_inside_its_cell():
    scene = Scene((Thing("black", "star", 5),), Sign("m", 10))
    for seed in range(30):
        picture = draw_scene(scene, np.random.default_rng(seed)).astype(float)
        for cell in (5, 10):
            top, left = (CELL_PIXELS * index for index in divmod(cell, GRID))
            picture[top : top + CELL_PIXELS, left : left + CELL_PIXELS] = BACKGROUND

        assert np.abs(picture - BACKGROUND).max() < 30


def test_the_same_scene_is_drawn_differently_each_time_but_the_same_from_a_seed():
    scene = Scene((Thing("red", "circle", 0),))
    noise = np.random.default_rng(0)

    first, second = draw_scene(scene, noise), draw_scene(scene, noise)

    assert (first != second).any()
    assert (first == draw_scene(scene, np.random.default_rng(0))).all()
