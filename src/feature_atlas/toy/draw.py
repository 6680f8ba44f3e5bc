"""A scene as a picture: 64 x 64 pixels, one cell of 16 x 16 per CLIP patch.

Every drawing of a thing is made once with PIL, in a few sizes and places inside its cell; a picture
is then put together from those sprites and a little pixel noise, fast enough to train on.
"""

from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from feature_atlas.toy.scene import COLOURS, GRID, LETTERS, SHAPES, Scene, column_of, row_of

CELL_PIXELS = 16
IMAGE_PIXELS = GRID * CELL_PIXELS
BACKGROUND = (205, 205, 205)
RGB = {
    "red": (215, 40, 40),
    "green": (40, 150, 60),
    "blue": (45, 75, 215),
    "yellow": (240, 220, 50),
    "purple": (145, 60, 185),
    "orange": (245, 140, 30),
    "cyan": (70, 205, 220),
    "black": (30, 30, 30),
}
SIZES = (10, 11, 12, 13)
SHIFTS = (-1, 0, 1)
N_VARIANTS = len(SIZES) * len(SHIFTS) ** 2
NOISE_STD = 4.0
JPEG_QUALITY = 95
# Drawn large and scaled down: PIL's own edges are jagged.
OVERSAMPLE = 8

# Corners on the square [-1, 1] x [-1, 1], y downwards.
OUTLINES = {
    "square": ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)),
    "triangle": ((0.0, -1.0), (1.0, 0.9), (-1.0, 0.9)),
    "diamond": ((0.0, -1.0), (0.8, 0.0), (0.0, 1.0), (-0.8, 0.0)),
    "cross": (
        (-0.35, -1.0), (0.35, -1.0), (0.35, -0.35), (1.0, -0.35), (1.0, 0.35), (0.35, 0.35),
        (0.35, 1.0), (-0.35, 1.0), (-0.35, 0.35), (-1.0, 0.35), (-1.0, -0.35), (-0.35, -0.35),
    ),
    "star": tuple(
        (radius * float(np.sin(angle)), -radius * float(np.cos(angle)))
        for angle, radius in zip(np.arange(10) * np.pi / 5, (1.1, 0.42) * 5, strict=True)
    ),
}  # fmt: skip

Sprite = UInt8[np.ndarray, "cell_pixels cell_pixels rgb"]
Picture = UInt8[np.ndarray, "pixels pixels rgb"]


def draw_scene(scene: Scene, noise: np.random.Generator) -> Picture:
    """The picture of a scene; the generator chooses sizes, shifts and pixel noise."""
    variants = noise.integers(N_VARIANTS, size=len(scene.things) + 1)
    picture = np.empty((IMAGE_PIXELS, IMAGE_PIXELS, 3), dtype=np.float32)
    picture[:] = BACKGROUND
    for thing, variant in zip(scene.things, variants, strict=False):
        _cell_of(picture, thing.cell)[:] = thing_sprites()[thing.shape, thing.colour][variant]
    if scene.sign:
        _cell_of(picture, scene.sign.cell)[:] = sign_sprites()[scene.sign.letter][variants[-1]]
    picture += NOISE_STD * noise.standard_normal(picture.shape, dtype=np.float32)
    return picture.clip(0, 255).astype(np.uint8)


def save_picture(path: Path, scene: Scene, noise: np.random.Generator) -> None:
    """Draw a scene into a JPEG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(draw_scene(scene, noise))
    # Chroma subsampling would smear colours over the edge of a cell, into the next patch.
    picture.save(path, quality=JPEG_QUALITY, subsampling=0)


@cache
def thing_sprites() -> dict[tuple[str, str], list[Sprite]]:
    """Every (shape, colour) in all its sizes and shifts."""
    return {
        (shape, colour): [_draw_thing(shape, colour, *variant) for variant in _variants()]
        for shape in SHAPES
        for colour in COLOURS
    }


@cache
def sign_sprites() -> dict[str, list[Sprite]]:
    """Every letter on its white board, in all sizes and shifts."""
    return {letter: [_draw_sign(letter, *v) for v in _variants()] for letter in LETTERS}


def _variants() -> list[tuple[int, int, int]]:
    return [(size, right, down) for size in SIZES for right in SHIFTS for down in SHIFTS]


def _cell_of(picture: np.ndarray, cell: int) -> np.ndarray:
    top, left = row_of(cell) * CELL_PIXELS, column_of(cell) * CELL_PIXELS
    return picture[top : top + CELL_PIXELS, left : left + CELL_PIXELS]


def _draw_thing(shape: str, colour: str, size: int, right: int, down: int) -> Sprite:
    canvas, pen, (x, y), radius = _blank_cell(size, right, down)
    if shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=RGB[colour])
    else:
        corners = [(x + radius * dx, y + radius * dy) for dx, dy in OUTLINES[shape]]
        pen.polygon(corners, fill=RGB[colour])
    return _shrink(canvas)


def _draw_sign(letter: str, size: int, right: int, down: int) -> Sprite:
    canvas, pen, (x, y), radius = _blank_cell(13, right, down)
    pen.rectangle((x - radius, y - radius, x + radius, y + radius), fill=(255, 255, 255))
    font = ImageFont.load_default(size=OVERSAMPLE * (size - 1))
    pen.text((x, y), letter.upper(), fill=(10, 10, 10), font=font, anchor="mm", stroke_width=3)
    return _shrink(canvas)


def _blank_cell(
    size: int, right: int, down: int
) -> tuple[Image.Image, ImageDraw.ImageDraw, tuple[float, float], float]:
    side = CELL_PIXELS * OVERSAMPLE
    canvas = Image.new("RGB", (side, side), BACKGROUND)
    centre = (side / 2 + right * OVERSAMPLE, side / 2 + down * OVERSAMPLE)
    return canvas, ImageDraw.Draw(canvas), centre, size * OVERSAMPLE / 2


def _shrink(canvas: Image.Image) -> Sprite:
    return np.asarray(canvas.resize((CELL_PIXELS, CELL_PIXELS), Image.Resampling.BOX))
