import json
import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from feature_atlas.toy.relations import RELATIONS, holds
from feature_atlas.toy.vqa_format import answer_type, question_type
from feature_atlas.toy.world import write_world

SIZES = {"n_train_images": 60, "n_val_images": 20, "n_vsr_images": 60}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"), seed=0, **SIZES)


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def vqa(world: Path, split: str) -> tuple[dict, dict]:
    return (
        read_json(world / f"vqa/v2_OpenEnded_mscoco_{split}2014_questions.json"),
        read_json(world / f"vqa/v2_mscoco_{split}2014_annotations.json"),
    )


def vsr(world: Path) -> list[dict]:
    return [
        row
        for split in ("train", "dev", "test")
        for row in read_lines(world / f"vsr/{split}.jsonl")
    ]


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_question_file_has_the_official_fields(world, split):
    questions, _ = vqa(world, split)

    assert set(questions) == {
        "info", "task_type", "data_type", "license", "data_subtype", "questions"
    }  # fmt: skip
    assert questions["task_type"] == "Open-Ended"
    assert questions["data_type"] == "mscoco"
    assert questions["data_subtype"] == f"{split}2014"
    for number, row in enumerate(questions["questions"]):
        assert set(row) == {"image_id", "question", "question_id"}
        assert row["question_id"] == row["image_id"] * 1000 + number % 6


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_annotation_file_has_the_official_fields(world, split):
    questions, annotations = vqa(world, split)

    assert set(annotations) == {"info", "license", "data_subtype", "data_type", "annotations"}
    assert annotations["data_subtype"] == f"{split}2014"
    ids = [row["question_id"] for row in questions["questions"]]
    assert [row["question_id"] for row in annotations["annotations"]] == ids
    for row in annotations["annotations"]:
        assert set(row) == {
            "question_id", "image_id", "question_type", "answer_type",
            "multiple_choice_answer", "answers",
        }  # fmt: skip
        assert row["answer_type"] in ("yes/no", "number", "other")
        assert [answer["answer_id"] for answer in row["answers"]] == list(range(1, 11))
        for answer in row["answers"]:
            assert set(answer) == {"answer", "answer_confidence", "answer_id"}
            assert answer["answer"] == row["multiple_choice_answer"]
            assert answer["answer_confidence"] in ("yes", "maybe", "no")


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_image_is_a_jpeg_of_64_pixels_under_its_official_name(world, split):
    questions, _ = vqa(world, split)
    folder = world / f"vqa/{split}2014"
    expected = {f"COCO_{split}2014_{row['image_id']:012d}.jpg" for row in questions["questions"]}

    assert {path.name for path in folder.iterdir()} == expected
    with Image.open(folder / min(expected)) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (64, 64), "RGB")


def test_the_statement_files_have_the_official_fields(world):
    for row in vsr(world):
        assert list(row) == [
            "image", "image_link", "caption", "label", "relation", "annotator_id",
            "vote_true_validator_id", "vote_false_validator_id", "reference_frame",
        ]  # fmt: skip
        assert re.fullmatch(r"\d{12}\.jpg", row["image"])
        assert row["image_link"] == f"http://images.cocodataset.org/train2017/{row['image']}"
        assert (world / "vsr/images" / row["image"]).exists()
        assert row["label"] in (0, 1)
        assert row["relation"] in row["caption"]
        assert isinstance(row["annotator_id"], int)


def test_votes_are_strings_that_hold_lists(world):
    for row in vsr(world):
        in_favour = json.loads(row["vote_true_validator_id"])
        against = json.loads(row["vote_false_validator_id"])
        assert isinstance(row["vote_true_validator_id"], str)
        assert (len(in_favour) > len(against)) == bool(row["label"])


def test_a_statement_is_made_once_per_image_and_images_stay_in_one_split(world):
    keys = [(row["image"], row["caption"]) for row in vsr(world)]
    images = {
        s: {r["image"] for r in read_lines(world / f"vsr/{s}.jsonl")}
        for s in ("train", "dev", "test")
    }

    assert len(set(keys)) == len(keys)
    assert [len(images[split]) for split in ("train", "dev", "test")] == [42, 6, 12]
    assert not images["train"] & images["test"]


def test_image_ids_of_vqa_and_vsr_never_meet(world):
    in_vqa = {
        row["image_id"] for split in ("train", "val") for row in vqa(world, split)[0]["questions"]
    }

    assert not in_vqa & {int(row["image"].removesuffix(".jpg")) for row in vsr(world)}


def test_statements_are_balanced_within_each_relation(world):
    counts = Counter((row["relation"], row["label"]) for row in vsr(world))

    for relation in RELATIONS:
        assert abs(counts[relation, 0] - counts[relation, 1]) <= 1, relation


def test_the_truth_lies_beside_the_files_and_agrees_with_them(world):
    truths = {row["question_id"]: row for row in read_lines(world / "vqa/truth.jsonl")}
    for split in ("train", "val"):
        for row in vqa(world, split)[1]["annotations"]:
            truth = truths.pop(row["question_id"])
            assert truth["image_id"] == row["image_id"]
            assert truth["answer"] == row["multiple_choice_answer"]
            if truth["relation"]:
                assert truth["answer"] == (
                    "yes" if holds(truth["relation"], *truth["cells"]) else "no"
                )
    assert truths == {}


def test_the_truth_of_statements_agrees_with_their_labels(world):
    truths = {(row["image"], row["caption"]): row for row in read_lines(world / "vsr/truth.jsonl")}

    for row in vsr(world):
        truth = truths.pop((row["image"], row["caption"]))
        assert row["label"] == int(holds(row["relation"], *truth["cells"]))
    assert truths == {}


def test_a_fifth_to_a_quarter_is_spatial_and_about_half_is_yes_or_no(tmp_path):
    write_world(tmp_path, seed=1, n_train_images=300, n_val_images=1, n_vsr_images=1)

    truths = [row for row in read_lines(tmp_path / "vqa/truth.jsonl") if row["split"] == "train"]
    annotations = vqa(tmp_path, "train")[1]["annotations"]

    assert 0.19 < sum(row["kind"] == "spatial" for row in truths) / len(truths) < 0.27
    yes_no = sum(row["answer_type"] == "yes/no" for row in annotations)
    assert 0.42 < yes_no / len(truths) < 0.58


def test_the_same_seed_writes_the_same_bytes(world, tmp_path):
    write_world(tmp_path, seed=0, **SIZES)

    files = sorted(path.relative_to(world) for path in world.rglob("*.*"))
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    for file in files:
        assert (world / file).read_bytes() == (tmp_path / file).read_bytes(), file


def test_more_training_images_leave_the_validation_images_alone(world, tmp_path):
    write_world(tmp_path, seed=0, **(SIZES | {"n_train_images": 2}))

    name = "vqa/v2_OpenEnded_mscoco_val2014_questions.json"
    assert (world / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Is the red circle above the blue star?", "is the"),
        ("Is there a sign?", "is there a"),
        ("Is there an orange star?", "is there"),
        ("How many objects are there?", "how many"),
        ("What color is the star?", "what color is the"),
        ("What shape is the red object?", "what"),
        ("What does the sign say?", "what does the"),
        ("Does the sign say k?", "does the"),
        ("Where is the red circle?", "where is the"),
        ("Describe the image.", "none of the above"),
    ],
)
def test_the_question_type_is_the_longest_official_prefix(question, expected):
    assert question_type(question) == expected


def test_answer_types_are_the_official_three():
    assert [answer_type(a) for a in ("yes", "no", "3", "red")] == [
        "yes/no", "yes/no", "number", "other"
    ]  # fmt: skip
