"""Pictures of two things in the official layout of What'sUp's controlled sets.

Source: github.com/amitakamath/whatsup_vlms, its folder data. Here one thing is always left or right
of the other: of on, under, in front of and behind, which the captions name as well, this world
knows nothing.
"""

import json
from pathlib import Path
from random import Random

import numpy as np

from feature_atlas.toy.draw import save_picture
from feature_atlas.toy.relations import holds
from feature_atlas.toy.scene import COLOURS, N_CELLS, SHAPES, Scene, Thing

SIDES = {"left of": "to the left of", "right of": "to the right of"}
SETS = (
    ("controlled_images", ("on", "under")),
    ("controlled_clevr", ("in front of", "behind")),
)
"""Folder of each set, and what its captions say beside the two sides."""


def write_whatsup(folder: Path, n_images: int, random: Random, noise: np.random.Generator) -> None:
    """Both sets, each of so many pictures."""
    for name, others in SETS:
        rows = []
        for number in range(n_images):
            a, b, side = _beside_one_another(random)
            opposite = next(other for other in SIDES if other != side)
            told = (SIDES[side], SIDES[opposite], *others)
            file = f"{_called(a, '-')}_{side.replace(' ', '_')}_{_called(b, '-')}_{number}.jpeg"
            things = sorted((a, b), key=lambda thing: thing.cell)
            save_picture(folder / name / file, Scene(tuple(things)), noise)
            rows.append(
                {
                    "image_path": f"data/{name}/{file}",
                    "caption_options": [f"A {_called(a)} {how} a {_called(b)}" for how in told],
                }
            )
        text = json.dumps(rows)
        (folder / f"{name}_dataset.json").write_text(text, encoding="utf-8")


def _beside_one_another(random: Random) -> tuple[Thing, Thing, str]:
    """Two things, and on which side of the second the first one is."""
    colours = random.sample(COLOURS, 2)
    while True:
        cells = random.sample(range(N_CELLS), 2)
        side = next((side for side in SIDES if holds(side, *cells)), None)
        if side is not None:
            a, b = (Thing(c, random.choice(SHAPES), k) for c, k in zip(colours, cells, strict=True))
            return a, b, side


def _called(thing: Thing, between: str = " ") -> str:
    return f"{thing.colour}{between}{thing.shape}"
