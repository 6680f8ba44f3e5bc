"""Reader of COCO's instance annotations: which objects are where in a picture (cocodataset.org).

Any file of that format will do; pictures are known by COCO's id, the last number in a file's name.
Several files may know one picture (COCO's val2014 and train2017 share most of theirs): an
annotation counts once. A picture may be smaller or larger than its file says, in the same shape.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from feature_atlas.etl.inputs.json_entries import Entry, entries, read_object
from feature_atlas.etl.inputs.pictures import Size
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.heads.localisation import named_objects
from feature_atlas.vlm.processor_geometry import Box

OFFICIAL = "COCO's instances_*.json; correct data.instances or leave it out"
OUTSIDE = 0.01
"""Share of a picture's side, beside a pixel, by which a box may be too long; more is a fault."""


class Instance(NamedTuple):
    """One object in a picture."""

    name: str
    """Its category."""
    box: Box
    """Where it is, in pixels of the picture as its file states its size."""
    is_clear: bool = True
    """Whether a word can name it: a crowd in one box, or a box without area, is not clear."""


class Pictured(NamedTuple):
    """A picture that a file knows."""

    size: Size
    """As stated."""
    objects: dict[int, Instance]
    """By the id of their annotation."""


class Instances(NamedTuple):
    """The objects of some pictures."""

    vocabulary: frozenset[str]
    """Every category, also of those that no picture has."""
    of_picture: dict[int, Pictured]
    """By COCO's id; a picture that no file knows is not there, one without objects is."""
    sizes: Mapping[Path, Size]
    """What the pictures' own files say."""

    def known(self, picture: Path) -> Pictured | None:
        """What a file says of a picture; None: no file knows it."""
        number = coco_id(picture)
        return None if number is None else self.of_picture.get(number)

    def asked_about(self, sample: Sample) -> list[Box] | None:
        """Boxes of the objects that a question names unambiguously; None: it does not.

        In pixels of the sample's picture, upright.
        """
        found = self.named(sample)
        return None if found is None else [one.box for one in found]

    def named(self, sample: Sample) -> list[Instance] | None:
        """The objects that a question names unambiguously, likewise."""
        known = self.known(sample.image)
        if known is None:
            return None
        size = self.sizes[sample.image]
        objects = list(known.objects.values())
        names = [one.name for one in objects] + [o.name for o in objects if not o.is_clear]
        found = named_objects(sample.question, names, self.vocabulary)
        scale_x, scale_y = size.width / known.size.width, size.height / known.size.height
        return None if found is None else [
            one._replace(
                box=Box(
                    one.box.left * scale_x, one.box.top * scale_y,
                    one.box.right * scale_x, one.box.bottom * scale_y,
                )
            )
            for one in (objects[place] for place in found)
        ]  # fmt: skip


def coco_id(picture: Path) -> int | None:
    """COCO's id of a picture: ``COCO_val2014_000000000042.jpg`` is 42, as in its other splits."""
    number = picture.stem.rpartition("_")[2]
    return int(number) if number.isdecimal() else None


def read_instances(files: Iterable[Path], pictures: Mapping[Path, Size]) -> Instances:
    """The objects of these pictures; segmentations are dropped while reading, they fill the files.

    Every entry is checked, also of pictures that nobody asks about.
    """
    wanted = {coco_id(picture) for picture in pictures}
    found = Instances(frozenset(), {}, pictures)
    for file in files:
        content = read_object(file, OFFICIAL, dropped="segmentation")
        names = _names(file, entries(file, content, "categories", "category"))
        sizes = _sizes(entries(file, content, "images", "image"))
        for number in sizes.keys() & wanted:
            _add_picture(found, file, number, sizes[number])
        _add_objects(found, names, sizes, entries(file, content, "annotations", "annotation"))
        found = found._replace(vocabulary=found.vocabulary | set(names.values()))
    for picture in pictures:
        _require_shape(found, picture)
    return found


def _names(file: Path, categories: list[Entry]) -> dict[int, str]:
    names = {row.whole("id"): row.text("name") for row in categories}
    if len(names) < len(categories):
        raise ValueError(f"{file}: an id comes twice among its categories.")
    return names


def _sizes(images: list[Entry]) -> dict[int, Size]:
    sizes: dict[int, Size] = {}
    for row in images:
        number, size = row.whole("id"), Size(row.whole("width"), row.whole("height"))
        if 0 in size:
            raise row.refuse(f"it is {size.width} x {size.height} pixels")
        if number in sizes:
            raise row.refuse(f"id {number} comes twice")
        named = coco_id(Path(row.text("file_name"))) if "file_name" in row.value else None
        if named not in (None, number):
            raise row.refuse(
                f"id is {number}, and its file is called {row.value['file_name']!r}: pictures are "
                "known by the last number in their name, which must be the id"
            )
        sizes[number] = size
    return sizes


def _add_picture(found: Instances, file: Path, number: int, size: Size) -> None:
    known = found.of_picture.setdefault(number, Pictured(size, {}))
    if known.size != size:
        raise ValueError(
            f"{file}: picture {number} is {size.width} x {size.height} pixels, and "
            f"{known.size.width} x {known.size.height} in another file of data.instances: they "
            "are of different pictures. Name only the files of these."
        )


def _add_objects(
    found: Instances, names: dict[int, str], sizes: dict[int, Size], annotations: list[Entry]
) -> None:
    seen: set[int] = set()
    for row in annotations:
        number, image = row.whole("id"), row.whole("image_id")
        if image not in sizes:
            raise row.refuse(f"image_id {image} is not among the file's images")
        if number in seen:
            raise row.refuse(f"id {number} comes twice")
        seen.add(number)
        one = _instance(row, names, sizes[image])
        if image in found.of_picture:
            objects = found.of_picture[image].objects
            if objects.setdefault(number, one) != one:
                raise row.refuse(
                    f"id {number} of picture {image} is {one.name!r} in {one.box[:]}, and "
                    f"{objects[number].name!r} in {objects[number].box[:]} in another file of "
                    "data.instances: keep one of the two"
                )


def _instance(row: Entry, names: dict[int, str], size: Size) -> Instance:
    x, y, width, height = row.numbers("bbox", 4)
    if width < 0 or height < 0:
        raise row.refuse(f"bbox is {row.value['bbox']}, expected a width and height from 0")
    if row.whole("category_id") not in names:
        raise row.refuse(f"category_id {row.value['category_id']} is not among the categories")
    is_crowd = "iscrowd" in row.value and row.one_of("iscrowd", 0, 1) == 1
    box = _inside(row, Box(x, y, x + width, y + height), size)
    has_area = box.right > box.left and box.bottom > box.top
    return Instance(names[row.value["category_id"]], box, has_area and not is_crowd)


def _inside(row: Entry, box: Box, size: Size) -> Box:
    """What of a box lies in its picture: nearly all."""
    beyond_x, beyond_y = 1 + OUTSIDE * size.width, 1 + OUTSIDE * size.height
    if (
        min(box.left + beyond_x, box.top + beyond_y) < 0
        or box.right > size.width + beyond_x
        or box.bottom > size.height + beyond_y
    ):
        raise row.refuse(
            f"bbox is {row.value['bbox']} [x, y, width, height], outside its picture of "
            f"{size.width} x {size.height} pixels"
        )
    return Box(
        max(box.left, 0.0),
        max(box.top, 0.0),
        min(box.right, float(size.width)),
        min(box.bottom, float(size.height)),
    )


def _require_shape(found: Instances, picture: Path) -> None:
    """A picture may have been made smaller or larger: each side is then right to a pixel."""
    known = found.known(picture)
    if known is None:
        return
    size = found.sizes[picture]
    low = max((side - 1) / stated for side, stated in zip(size, known.size, strict=True))
    high = min((side + 1) / stated for side, stated in zip(size, known.size, strict=True))
    if low > high:
        raise ValueError(
            f"{picture} is {size.width} x {size.height} pixels, and {known.size.width} x "
            f"{known.size.height} in data.instances: it was cropped or turned, and no box says "
            "where its objects are. Use the pictures as published, or leave data.instances out."
        )
