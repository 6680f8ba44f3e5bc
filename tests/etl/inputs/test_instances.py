"""COCO's instances: read from a file by hand, and of the drawn world against its truth."""

import json
import secrets
from pathlib import Path
from random import Random

import pytest

from feature_atlas.etl.config.run_config import load_config
from feature_atlas.etl.inputs.instances import Instance, Instances, coco_id, read_instances
from feature_atlas.etl.inputs.pictures import Size, require_pictures
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.inputs.vqav2 import read_vqav2
from feature_atlas.etl.inputs.vsr import read_vsr
from feature_atlas.vlm.processor_geometry import Box

SQUARE = Size(64, 64)
DOG, CAT = Box(10, 20, 40, 60), Box(50.5, 0, 60.5, 8)


def image(number: int, width: int = 64, height: int = 64) -> dict:
    name = f"{number:012d}.jpg"
    return {"id": number, "file_name": name, "width": width, "height": height, "license": 1}


def content(**changed: object) -> dict:
    """COCO's own layout: a dog, a cat and a crowd of birds in picture 42, nothing in picture 7."""
    return {
        "info": {},
        "licenses": [],
        "images": [image(42), image(7)],
        "categories": [
            {"id": 18, "name": "dog", "supercategory": "animal"},
            {"id": 17, "name": "cat", "supercategory": "animal"},
            {"id": 16, "name": "bird", "supercategory": "animal"},
        ],
        "annotations": [
            {"id": 1, "image_id": 42, "category_id": 18, "bbox": [10, 20, 30, 40], "iscrowd": 0,
             "area": 9.5, "segmentation": [[10, 20, 40, 20, 40, 60]]},
            {"id": 2, "image_id": 42, "category_id": 17, "bbox": [50.5, 0, 10, 8], "iscrowd": 0},
            {"id": 3, "image_id": 42, "category_id": 16, "bbox": [0, 0, 64, 64], "iscrowd": 1,
             "segmentation": {"counts": [1, 2], "size": [64, 64]}},
        ],
        **changed,
    }  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "instances_val2014.json"
    path.write_text(json.dumps(content()))
    return path


def asked(question: str, picture: str = "COCO_val2014_000000000042.jpg") -> Sample:
    return Sample("vqav2-val", "1", Path(picture), question, "yes")


def read(files: list[Path], *pictures: str, size: Size = SQUARE) -> Instances:
    return read_instances(files, {Path(picture): size for picture in pictures})


def test_boxes_of_a_picture_by_hand(file: Path) -> None:
    found = read([file], "a/COCO_val2014_000000000042.jpg", "b/9.jpg")

    objects = found.of_picture[42].objects
    assert (objects[1], objects[2]) == (Instance("dog", DOG), Instance("cat", CAT))
    assert not objects[3].is_clear  # a crowd
    assert set(found.of_picture) == {42}  # nobody asked for the other
    assert found.vocabulary == {"dog", "cat", "bird"}


def test_the_objects_that_a_question_names_have_boxes(file: Path) -> None:
    found = read(
        [file], "COCO_val2014_000000000042.jpg", "000000000042.jpg", "000000000007.jpg", "8.jpg"
    )

    assert found.asked_about(asked("Is the cat above the dog?")) == [DOG, CAT]
    assert found.asked_about(asked("Is the dog wet?", picture="000000000042.jpg")) == [DOG]
    assert found.asked_about(asked("Is the bird above the dog?")) is None  # a crowd
    assert found.asked_about(asked("Is it raining?")) is None
    assert found.asked_about(asked("Is the dog wet?", picture="000000000007.jpg")) is None
    assert found.asked_about(asked("Is the dog wet?", picture="8.jpg")) is None


def test_a_picture_made_smaller_has_its_boxes_made_smaller(file: Path) -> None:
    half = read([file], "42.jpg", size=Size(32, 32))
    file.write_text(json.dumps(content(images=[image(42, height=65), image(7)])))
    rounded = read([file], "42.jpg", size=Size(32, 32))  # 32.5 was rounded

    assert half.asked_about(asked("Is the dog wet?", "42.jpg")) == [Box(5, 10, 20, 30)]
    (box,) = rounded.asked_about(asked("Is the dog wet?", "42.jpg")) or []
    assert box[:] == pytest.approx((5, 20 * 32 / 65, 20, 60 * 32 / 65))


def test_two_files_that_share_a_picture_count_its_objects_once(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "instances_train2017.json"
    new = {"id": 9, "image_id": 42, "category_id": 18, "bbox": [0, 0, 5, 5], "iscrowd": 0}
    categories = [{**c, "id": c["id"] + 100} for c in content()["categories"]]
    known = [{**a, "category_id": a["category_id"] + 100} for a in content()["annotations"]]

    other.write_text(json.dumps(content(categories=categories, annotations=known)))
    twice = read([file, other, file], "42.jpg")
    assert twice.of_picture == read([file], "42.jpg").of_picture
    assert twice.asked_about(asked("Is the cat above the dog?", "42.jpg")) == [DOG, CAT]

    other.write_text(json.dumps(content(annotations=[new])))
    more = read([file, other], "42.jpg")
    assert more.asked_about(asked("Is the dog wet?", "42.jpg")) is None  # there are two


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bbox": [10, 20, 30, 41]}, r"id 1 of picture 42 is 'dog' in \(10.* in another file"),
        ({"category_id": 17}, "id 1 of picture 42 is 'cat' in .* and 'dog' in"),
        ({"iscrowd": 1}, "id 1 of picture 42"),
    ],
)
def test_an_annotation_that_another_file_tells_otherwise_is_refused(
    file: Path, tmp_path: Path, changed: dict, said: str
) -> None:
    other = tmp_path / "other.json"
    first, *rest = content()["annotations"]
    other.write_text(json.dumps(content(annotations=[*rest, first | changed])))

    with pytest.raises(ValueError, match=rf"other\.json annotation 2: {said}"):
        read([file, other], "42.jpg")


def test_files_of_different_pictures_with_one_id_are_refused(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content(images=[image(42, width=65)], annotations=[])))

    with pytest.raises(ValueError, match="picture 42 is 65 x 64 pixels, and 64 x 64 in another"):
        read([file, other], "42.jpg")


def test_a_picture_of_another_shape_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match=r"a/42\.jpg is 64 x 48 pixels, and 64 x 64 in data"):
        read([file], "a/42.jpg", size=Size(64, 48))


def test_an_object_without_a_place_cannot_be_named(file: Path) -> None:
    flat = [{**content()["annotations"][0], "bbox": [10, 20, 30, 0]}, content()["annotations"][1]]
    file.write_text(json.dumps(content(annotations=flat)))

    found = read([file], "42.jpg")

    assert found.asked_about(asked("Is the cat above the dog?", "42.jpg")) is None
    assert found.asked_about(asked("Is the cat here?", "42.jpg")) == [CAT]


def test_a_box_ends_where_its_picture_ends(file: Path) -> None:
    over = [{**content()["annotations"][0], "bbox": [-0.5, 20, 65.2, 40]}]
    file.write_text(json.dumps(content(annotations=over)))

    found = read([file], "42.jpg")

    assert found.asked_about(asked("Is the dog here?", "42.jpg")) == [Box(0, 20, 64, 60)]


def test_ids_are_the_last_number_of_a_name() -> None:
    assert coco_id(Path("COCO_val2014_000000000042.jpg")) == coco_id(Path("000000000042.jpg")) == 42
    assert coco_id(Path("photo.jpg")) is None


DAMAGED = [
    *[(part, name, bad, f"{name} is .*whole number")
      for part, name in [("images", "id"), ("images", "width"), ("images", "height"),
                         ("categories", "id"), ("annotations", "id"), ("annotations", "image_id"),
                         ("annotations", "category_id")]
      for bad in ("7", None, 1.5, True, -1)],
    *[("categories", "name", bad, "name is .*text") for bad in (None, "", 3)],
    *[("annotations", "bbox", bad, "bbox is .*expected 4 numbers")
      for bad in (None, [], [0, 0, 1], [0, 0, 1, "1"], "0 0 1 1", [0, 0, 1, None])],
    *[("annotations", "bbox", bad, "bbox is .*expected a width and height from 0")
      for bad in ([0, 0, -1, 1], [0, 0, 1, -0.5])],
    *[("annotations", "bbox", bad, "bbox is .*outside its picture of 64 x 64 pixels")
      for bad in ([60, 0, 10, 10], [-3, 0, 10, 10], [0, 50, 10, 18], [0, -9, 1, 1])],
    *[("annotations", "iscrowd", bad, "iscrowd is .*expected 0 or 1") for bad in (2, None, True)],
    ("images", "width", 0, "it is 0 x 64 pixels"),
    ("images", "file_name", "COCO_val2014_000000000008.jpg", "id is .* known by the last number"),
    ("annotations", "image_id", 99, "image_id 99 is not among"),
    ("annotations", "category_id", 99, "category_id 99 is not among"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(DAMAGED)))
def test_a_damaged_entry_is_named_with_its_file(file: Path, case: int) -> None:
    part, name, bad, said = DAMAGED[case]
    row = Random(secrets.randbits(32)).randrange(2)
    damaged = content()
    damaged[part][row][name] = bad
    file.write_text(json.dumps(damaged))

    with pytest.raises(ValueError, match=said) as refused:
        read([file], "42.jpg")

    noun = {"images": "image", "categories": "category", "annotations": "annotation"}[part]
    assert f"{file} {noun} {row}: " in str(refused.value)


@pytest.mark.parametrize(
    ("part", "name"),
    [("images", "id"), ("images", "width"), ("categories", "id"), ("categories", "name"),
     ("annotations", "id"), ("annotations", "bbox"), ("annotations", "category_id")],
)  # fmt: skip
def test_an_entry_that_lacks_something_is_named(file: Path, part: str, name: str) -> None:
    damaged = content()
    del damaged[part][1][name]
    file.write_text(json.dumps(damaged))

    with pytest.raises(ValueError, match=rf"val2014\.json \w+ 1: {name} is missing"):
        read([file], "42.jpg")


@pytest.mark.parametrize("part", ["images", "categories", "annotations"])
def test_an_id_that_comes_twice_is_refused(file: Path, part: str) -> None:
    damaged = content()
    damaged[part][1]["id"] = damaged[part][0]["id"]
    file.write_text(json.dumps(damaged))

    with pytest.raises(ValueError, match=r"val2014\.json.*comes twice"):
        read([file], "42.jpg")


@pytest.mark.parametrize("part", ["images", "categories", "annotations"])
def test_a_file_without_one_of_its_lists_is_named(file: Path, part: str) -> None:
    file.write_text(json.dumps(content(**{part: None})))

    with pytest.raises(ValueError, match=rf"val2014\.json has no list '{part}'"):
        read([file], "42.jpg")


def test_a_file_that_is_not_there_or_cut_short_is_named(tmp_path: Path, file: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.json.*correct data\.instances"):
        read([tmp_path / "nothing.json"])
    file.write_text(file.read_text()[:-20])
    with pytest.raises(ValueError, match="not complete JSON"):
        read([file])


def test_every_question_of_the_drawn_world_finds_the_cells_of_its_truth(small_world: Path) -> None:
    splits = {
        "vqa": (read_vqav2(small_world / "vqa", "val"), "instances_val2014.json"),
        "vsr": (read_vsr(small_world / "vsr", "train", "{caption}"), "instances_train2017.json"),
    }
    n_found = 0
    for folder, (samples, name) in splits.items():
        found = read_instances([small_world / folder / name], require_pictures(samples))
        truth = truths(small_world / folder)
        for sample in samples:
            boxes = found.asked_about(sample)
            known = truth[sample.image.stem.rpartition("_")[2], sample.question]
            if known["kind"] in ("spatial", "statement", "where", "shape", "sign", "sign_says"):
                assert boxes is not None, sample.question
            if known["kind"] in ("describe", "positions", "count"):
                assert boxes is None, sample.question
            if boxes is not None and known["kind"] != "attribute":  # asks with a second shape
                cells = {int(box.left // 16 + 4 * (box.top // 16)) for box in boxes}
                assert cells == set(known["cells"]), sample.question
                n_found += 1
    assert n_found > 300


def truths(folder: Path) -> dict[tuple[str, str], dict]:
    """What is behind each question, by picture and text."""
    rows = map(json.loads, (folder / "truth.jsonl").read_text().splitlines())
    if folder.name == "vsr":
        return {(row["image"].removesuffix(".jpg"), row["caption"]): row for row in rows}
    (file,) = folder.glob("v2_OpenEnded_mscoco_val2014_questions.json")
    asked = {q["question_id"]: q for q in json.loads(file.read_text())["questions"]}
    return {
        (f"{row['image_id']:012d}", asked[row["question_id"]]["question"]): row
        for row in rows
        if row["question_id"] in asked
    }


def test_paths_of_instances_are_relative_to_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "name: x\nvlm: {path: a, base: b, name: c}\n"
        "sae: {path: 'd/{layer}', release: e, layers: [0]}\n"
        "data: {vqa_folder: vqa, vsr_folder: vsr, instances: [coco/instances_val2014.json]}\n"
    )

    config = load_config(file)

    assert config.data.instances == (tmp_path / "coco/instances_val2014.json",)
