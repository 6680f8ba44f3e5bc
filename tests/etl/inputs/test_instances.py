"""COCO's instances: read from a file by hand, and of the drawn world against its truth."""

import json
from pathlib import Path

import pytest

from feature_atlas.etl.config.run_config import load_config
from feature_atlas.etl.inputs.instances import Instance, coco_id, read_instances
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.inputs.vqav2 import read_vqav2
from feature_atlas.etl.inputs.vsr import read_vsr
from feature_atlas.vlm.processor_geometry import Box

DOG, CAT = Box(10, 20, 40, 60), Box(50.5, 0, 60.5, 8)


def content(**changed: object) -> dict:
    """COCO's own layout: a dog, a cat and a crowd of birds in picture 42, nothing in picture 7."""
    return {
        "info": {},
        "licenses": [],
        "images": [
            {"id": 42, "file_name": "000000000042.jpg", "width": 64, "height": 64, "license": 1},
            {"id": 7, "file_name": "000000000007.jpg", "width": 64, "height": 64, "license": 1},
        ],
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


def test_boxes_of_a_picture_by_hand(file: Path) -> None:
    found = read_instances([file], [Path("a/COCO_val2014_000000000042.jpg"), Path("b/9.jpg")])

    assert found.of_picture[42][:2] == [Instance("dog", DOG), Instance("cat", CAT)]
    assert set(found.of_picture) == {42}  # nobody asked for the other
    assert found.vocabulary == {"dog", "cat", "bird"}


def test_the_objects_that_a_question_names_have_boxes(file: Path) -> None:
    found = read_instances([file], [Path("COCO_val2014_000000000042.jpg"), Path("7.jpg")])

    assert found.asked_about(asked("Is the cat above the dog?")) == [DOG, CAT]
    assert found.asked_about(asked("Is the dog wet?", picture="000000000042.jpg")) == [DOG]
    assert found.asked_about(asked("Is the bird above the dog?")) is None  # a crowd
    assert found.asked_about(asked("Is it raining?")) is None
    assert found.asked_about(asked("Is the dog wet?", picture="000000000007.jpg")) is None
    assert found.asked_about(asked("Is the dog wet?", picture="000000000008.jpg")) is None


def test_ids_are_the_last_number_of_a_name() -> None:
    assert coco_id(Path("COCO_val2014_000000000042.jpg")) == coco_id(Path("000000000042.jpg")) == 42
    assert coco_id(Path("photo.jpg")) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"annotations": None}, "lacks one of the lists images, annotations, categories"),
        ({"categories": [{"id": 1}]}, "has no name"),
        ({"annotations": [{"image_id": 42, "category_id": 18}]}, r"annotation 0: KeyError\('bbox'"),
        ({"annotations": [{"image_id": 42, "category_id": 99, "bbox": [0, 0, 1, 1]}]}, "99"),
        ({"annotations": [{"image_id": 42, "category_id": 18, "bbox": [0, 0, -1, 1]}]}, "from 0"),
        ({"annotations": [{"image_id": 42, "category_id": 18, "bbox": [0, 0]}]}, "width, height"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_with_its_entry(file: Path, changed: dict, said: str) -> None:
    file.write_text(json.dumps(content(**changed)))

    with pytest.raises(ValueError, match=said) as refused:
        read_instances([file], [Path("42.jpg")])

    assert str(file) in str(refused.value)


def test_a_file_that_is_not_there_or_cut_short_is_named(tmp_path: Path, file: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.json.*correct data\.instances"):
        read_instances([tmp_path / "nothing.json"], [])
    file.write_text(file.read_text()[:-20])
    with pytest.raises(ValueError, match="not complete JSON"):
        read_instances([file], [])


def test_every_question_of_the_drawn_world_finds_the_cells_of_its_truth(small_world: Path) -> None:
    splits = {
        "vqa": (read_vqav2(small_world / "vqa", "val"), "instances_val2014.json"),
        "vsr": (read_vsr(small_world / "vsr", "train", "{caption}"), "instances_train2017.json"),
    }
    n_found = 0
    for folder, (samples, name) in splits.items():
        found = read_instances([small_world / folder / name], [s.image for s in samples])
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
