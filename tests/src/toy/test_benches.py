"""What the drawn What'sUp and GQA say of their pictures is true of them."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from feature_atlas.toy import gqa_format, whatsup_format
from feature_atlas.toy.draw import CELL_PIXELS, RGB
from feature_atlas.toy.scene import Scene


def column_of_colour(file: Path, colour: str) -> float:
    """Mean column of the pixels that are near to a colour, in cells."""
    pixels = np.asarray(Image.open(file)).astype(float)
    near = np.abs(pixels - np.array(RGB[colour])).max(-1) < 30
    assert near.sum() > 20
    return float(np.nonzero(near)[1].mean() / CELL_PIXELS)


def test_the_first_caption_is_true_of_the_picture(tmp_path: Path) -> None:
    whatsup_format.write_whatsup(tmp_path, 8, Random(1), np.random.default_rng(1))

    for file in sorted(tmp_path.glob("*.json")):
        for row in json.loads(file.read_text(encoding="utf-8")):
            _, first, *told = row["caption_options"][0].split()
            second, side = told[-2], "left" if "left" in told else "right"
            picture = tmp_path / Path(row["image_path"]).relative_to("data")
            distance = column_of_colour(picture, first) - column_of_colour(picture, second)
            assert (distance < -0.5) if side == "left" else (distance > 0.5)


def test_answers_of_gqa_are_true_of_the_scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes: dict[str, Scene] = {}
    monkeypatch.setattr(
        gqa_format, "save_picture", lambda path, scene, _noise: scenes.update({path.stem: scene})
    )
    (tmp_path / "images").mkdir()
    gqa_format.write_gqa(tmp_path, 40, Random(1), np.random.default_rng(1))

    rows = json.loads((tmp_path / "val_balanced_questions.json").read_text(encoding="utf-8"))
    assert len(rows) > 60
    for row in rows.values():
        cells = {thing.colour: divmod(thing.cell, 4) for thing in scenes[row["imageId"]].things}
        words = row["question"].rstrip("?").split()
        (row_a, column_a), (row_b, column_b) = cells[words[2]], cells[words[-2]]
        truth = {
            "left": column_a < column_b,
            "right": column_a > column_b,
            "above": row_a < row_b,
            "below": row_a > row_b,
        }[next(word for word in words if word in ("left", "right", "above", "below"))]
        assert row["answer"] == ("yes" if truth else "no")
