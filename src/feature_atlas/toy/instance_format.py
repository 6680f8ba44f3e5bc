"""Where the things of a scene are, in COCO's official format of instances, field by field.

Source: cocodataset.org/#format-data. Questions call a thing by its colour and shape, its colour, or
its shape alone: it has one annotation under each of these names. Its box is its cell.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from feature_atlas.toy.draw import CELL_PIXELS, IMAGE_PIXELS
from feature_atlas.toy.scene import COLOURS, SHAPES, Scene, column_of, row_of

Pictured = list[tuple[int, str, Scene]]
"""(image id, file name, what it shows)"""

NAMES = (
    *(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES),
    *(f"{colour} object" for colour in COLOURS),
    *SHAPES,
    "sign",
)
CATEGORY = {name: number for number, name in enumerate(NAMES, start=1)}
INFO = {
    "description": "Drawn scenes of the tiny world in the format of COCO.",
    "url": "http://cocodataset.org",
    "version": "1.0",
    "year": 2017,
    "contributor": "feature atlas, tiny world",
    "date_created": "2017/09/01",
}
LICENSE = {
    "id": 1,
    "name": "Apache License, Version 2.0",
    "url": "https://www.apache.org/licenses/LICENSE-2.0",
}


def write_instances(file: Path, pictured: Pictured) -> None:
    """instances_{split}.json"""
    objects = [
        (image_id, name, cell) for image_id, _, scene in pictured for name, cell in named(scene)
    ]
    content = {
        "info": INFO,
        "licenses": [LICENSE],
        "images": [_image(image_id, name) for image_id, name, _ in pictured],
        "annotations": list(_annotations(objects)),
        "categories": [
            {"id": number, "name": name, "supercategory": name.split()[-1]}
            for name, number in CATEGORY.items()
        ],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def named(scene: Scene) -> Iterator[tuple[str, int]]:
    """Every name by which a question may call something in the scene, and its cell."""
    for thing in scene.things:
        for name in (f"{thing.colour} {thing.shape}", f"{thing.colour} object", thing.shape):
            yield name, thing.cell
    if scene.sign:
        yield "sign", scene.sign.cell


def _image(image_id: int, name: str) -> dict:
    size = {"width": IMAGE_PIXELS, "height": IMAGE_PIXELS}
    return {"id": image_id, "file_name": name, "license": 1, **size}


def _annotations(objects: Iterable[tuple[int, str, int]]) -> Iterator[dict]:
    for number, (image_id, name, cell) in enumerate(objects, start=1):
        left, top = column_of(cell) * CELL_PIXELS, row_of(cell) * CELL_PIXELS
        right, bottom = left + CELL_PIXELS, top + CELL_PIXELS
        yield {
            "id": number,
            "image_id": image_id,
            "category_id": CATEGORY[name],
            "bbox": [left, top, CELL_PIXELS, CELL_PIXELS],
            "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
            "area": CELL_PIXELS**2,
            "iscrowd": 0,
        }
