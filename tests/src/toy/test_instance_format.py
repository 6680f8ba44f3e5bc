"""Instances in COCO's official fields, against the scenes they are of."""

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from feature_atlas.toy.instance_format import NAMES, named, write_instances
from feature_atlas.toy.scene import COLOURS, SHAPES, Scene, Sign, Thing, random_scene


@pytest.fixture
def scenes() -> list[Scene]:
    random = Random(4)
    return [random_scene(random) for _ in range(30)]


@pytest.fixture
def content(scenes: list[Scene], tmp_path: Path) -> dict:
    file = tmp_path / "new" / "instances_val2014.json"
    write_instances(file, [(9 + i, f"{9 + i:012d}.jpg", scene) for i, scene in enumerate(scenes)])
    return json.loads(file.read_text())


def test_the_file_has_the_official_fields(content: dict) -> None:
    assert set(content) == {"info", "licenses", "images", "annotations", "categories"}
    for image in content["images"]:
        assert set(image) == {"id", "file_name", "width", "height", "license"}
    for category in content["categories"]:
        assert set(category) == {"id", "name", "supercategory"}
    for one in content["annotations"]:
        assert set(one) == {
            "id", "image_id", "category_id", "bbox", "segmentation", "area", "iscrowd"
        }  # fmt: skip
    ids = [one["id"] for one in content["annotations"]]
    assert len(set(ids)) == len(ids)
    assert len(NAMES) == len(COLOURS) * len(SHAPES) + len(COLOURS) + len(SHAPES) + 1


def test_every_thing_has_a_box_under_each_of_its_names(content: dict, scenes: list[Scene]) -> None:
    names = {category["id"]: category["name"] for category in content["categories"]}
    for number, scene in enumerate(scenes):
        boxes = [one for one in content["annotations"] if one["image_id"] == 9 + number]
        found = Counter((names[one["category_id"]], tuple(one["bbox"])) for one in boxes)

        expected: Counter = Counter()
        for thing in scene.things:
            box = (16 * (thing.cell % 4), 16 * (thing.cell // 4), 16, 16)
            for name in (f"{thing.colour} {thing.shape}", f"{thing.colour} object", thing.shape):
                expected[name, box] += 1
        if scene.sign:
            expected["sign", (16 * (scene.sign.cell % 4), 16 * (scene.sign.cell // 4), 16, 16)] += 1
        assert found == expected


def test_names_of_a_scene_by_hand() -> None:
    scene = Scene((Thing("red", "circle", 5),), Sign("k", 0))

    assert list(named(scene)) == [("red circle", 5), ("red object", 5), ("circle", 5), ("sign", 0)]
