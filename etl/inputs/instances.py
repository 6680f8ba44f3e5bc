"""Reader of COCO's instance annotations: which objects are where in a picture (cocodataset.org).

Any file of that format will do; pictures are known by COCO's id, the last number in a file's name.
"""

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.heads.localisation import named_objects
from feature_atlas.vlm.processor_geometry import Box


class Instance(NamedTuple):
    """One object in a picture."""

    name: str
    """Its category."""
    box: Box
    """Where it is, in pixels of the picture."""


class Instances(NamedTuple):
    """The objects of some pictures."""

    vocabulary: frozenset[str]
    """Every category, also of those that no picture has."""
    of_picture: dict[int, list[Instance]]
    """By COCO's id; a picture that no file knows is not there, one without objects is."""

    def asked_about(self, sample: Sample) -> list[Box] | None:
        """Boxes of the objects that a question names unambiguously; None: it does not."""
        number = coco_id(sample.image)
        if number is None or number not in self.of_picture:
            return None
        known = self.of_picture[number]
        found = named_objects(sample.question, [one.name for one in known], self.vocabulary)
        return None if found is None else [known[place].box for place in found]


def coco_id(picture: Path) -> int | None:
    """COCO's id of a picture: ``COCO_val2014_000000000042.jpg`` is 42, as in its other splits."""
    number = picture.stem.rpartition("_")[2]
    return int(number) if number.isdecimal() else None


def read_instances(files: Iterable[Path], pictures: Collection[Path]) -> Instances:
    """The objects of these pictures; segmentations are dropped while reading, they fill the files.

    A crowd of objects in one box counts as two objects: no word names it unambiguously.
    """
    wanted = {coco_id(picture) for picture in pictures}
    vocabulary: set[str] = set()
    of_picture: dict[int, list[Instance]] = {}
    for file in files:
        content = _content(file)
        names = {
            _field(entry, "id", file): _field(entry, "name", file)
            for entry in content["categories"]
        }
        vocabulary.update(names.values())
        here = {_field(entry, "id", file) for entry in content["images"]} & wanted
        of_picture |= {number: [] for number in here if number not in of_picture}
        for row, entry in enumerate(content["annotations"]):
            if entry.get("image_id") in here:
                one = _instance(entry, names, f"{file} annotation {row}")
                of_picture[entry["image_id"]] += [one] * (2 if entry.get("iscrowd") else 1)
    return Instances(frozenset(vocabulary), of_picture)


def _content(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(
            f"no {file}: expected COCO's instances_*.json; correct data.instances or leave it out."
        )
    try:
        with file.open() as stream:
            content = json.load(stream, object_hook=_without_outline)
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is not complete JSON ({error}): download it again.") from error
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in lists):
        raise ValueError(
            f"{file} lacks one of the lists {', '.join(lists)}: expected COCO's instances format."
        )
    return content


def _field(entry: dict[str, Any], name: str, file: Path) -> Any:
    if name not in entry:
        raise ValueError(f"{file}: an image or category has no {name}: {entry}; every one has it.")
    return entry[name]


def _without_outline(entry: dict[str, Any]) -> dict[str, Any]:
    entry.pop("segmentation", None)
    return entry


def _instance(entry: dict[str, Any], names: dict[int, str], where: str) -> Instance:
    try:
        x, y, width, height = map(float, entry["bbox"])
        name = names[entry["category_id"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: {error!r}; expected bbox [x, y, width, height] and a known category_id."
        ) from error
    if width < 0 or height < 0:
        raise ValueError(f"{where}: bbox {entry['bbox']}, expected a width and height from 0.")
    return Instance(name, Box(x, y, x + width, y + height))
