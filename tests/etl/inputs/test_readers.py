import json
import shutil

import pytest

from feature_atlas.etl.config.inputs import DataConfig
from feature_atlas.etl.inputs.data_sets import read_data_sets
from feature_atlas.etl.inputs.pictures import open_image, require_pictures
from feature_atlas.etl.inputs.samples import draw
from feature_atlas.etl.inputs.vqav2 import complements, read_vqav2
from feature_atlas.etl.inputs.vsr import read_vsr
from feature_atlas.toy.world import write_world

PROMPT = "Is this statement true? {caption}"
REAL_VSR_LINE = {
    "image": "000000119360.jpg",
    "image_link": "http://images.cocodataset.org/train2017/000000119360.jpg",
    "caption": "The bench is at the right side of the train.",
    "label": 0,
    "relation": "at the right side of",
    "annotator_id": 1,
    "vote_true_validator_id": "[]",
    "vote_false_validator_id": "[2, 10, 1]",
    "reference_frame": None,
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return write_world(folder, seed=3, n_train_images=4, n_val_images=3, n_vsr_images=20) or folder


@pytest.fixture
def world(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "world")


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def test_questions_come_with_their_answers_and_pictures(world):
    samples = read_vqav2(world / "vqa", "val")
    questions = json.loads((world / "vqa/v2_OpenEnded_mscoco_val2014_questions.json").read_text())[
        "questions"
    ]
    annotations = json.loads((world / "vqa/v2_mscoco_val2014_annotations.json").read_text())
    answers = {a["question_id"]: a["multiple_choice_answer"] for a in annotations["annotations"]}

    assert [s.question for s in samples] == [q["question"] for q in questions]
    assert [s.answer for s in samples] == [answers[q["question_id"]] for q in questions]
    assert require_pictures(samples)[samples[0].image] == (64, 64)
    assert open_image(samples[0].image).size == (64, 64)


@pytest.mark.parametrize("split", ["train", "val"])
def test_complementary_pairs_go_both_ways_and_may_be_missing(tmp_path, split):
    assert complements(tmp_path, split) == {}
    file = tmp_path / f"v2_mscoco_{split}2014_complementary_pairs.json"
    file.write_text("[[3, 8], [3, 9]]")

    assert complements(tmp_path, split) == {"3": ["8", "9"], "8": ["3"], "9": ["3"]}

    file.write_text("[[3, 8], [4]]")
    with pytest.raises(ValueError, match=f"{file.name} entry 1: holds .4., expected two whole"):
        complements(tmp_path, split)


def test_a_question_without_annotation_names_file_and_row(world):
    edit(world / "vqa/v2_mscoco_val2014_annotations.json", lambda c: c["annotations"].pop(2))

    with pytest.raises(ValueError, match=r"val2014_questions\.json entry 2: .*annotation"):
        read_vqav2(world / "vqa", "val")


def test_a_truncated_json_file_is_named(world):
    file = world / "vqa/v2_mscoco_train2014_annotations.json"
    file.write_text(file.read_text()[:-40])

    with pytest.raises(ValueError, match=r"train2014_annotations\.json is not complete JSON"):
        read_vqav2(world / "vqa", "train")


def test_a_real_vsr_record_becomes_a_yes_no_question(tmp_path):
    (tmp_path / "dev.jsonl").write_text(json.dumps(REAL_VSR_LINE) + "\n")

    (sample,) = read_vsr(tmp_path, "dev", PROMPT)

    assert sample.question == "Is this statement true? The bench is at the right side of the train."
    assert (sample.answer, sample.relation) == ("no", "at the right side of")
    assert sample.image == tmp_path / "images/000000119360.jpg"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", r"dev\.jsonl line 2 is not JSON"),
        (
            json.dumps({"image": "x.jpg"}),
            r"dev\.jsonl line 2: caption is missing, expected a text",
        ),
        (
            json.dumps({**REAL_VSR_LINE, "label": 7}),
            r"dev\.jsonl line 2: label is 7, expected 0 or 1",
        ),
    ],
)
def test_a_bad_vsr_line_is_named(tmp_path, line, message):
    (tmp_path / "dev.jsonl").write_text(json.dumps(REAL_VSR_LINE) + "\n" + line + "\n")

    with pytest.raises(ValueError, match=message):
        read_vsr(tmp_path, "dev", PROMPT)


def test_missing_files_say_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected VQAv2's official file"):
        read_vqav2(tmp_path, "val")
    with pytest.raises(FileNotFoundError, match=r"expected VSR's official train\.jsonl"):
        read_vsr(tmp_path, "train", PROMPT)


@pytest.mark.parametrize(
    "prompt", ["Is it true?", "{{caption}}", "{caption} {else}", "{caption", "{}"]
)
def test_a_prompt_that_a_caption_does_not_fill_is_refused(tmp_path, prompt):
    with pytest.raises(ValueError, match=r"say where the caption goes|cannot be filled in"):
        read_vsr(tmp_path, "train", prompt)


def test_a_missing_image_is_found_before_any_work(world):
    samples = read_vqav2(world / "vqa", "val")
    samples[0].image.unlink()

    said = f"missing image .*{samples[0].image.name}.*vqav2-val entry {samples[0].external_id}"
    with pytest.raises(FileNotFoundError, match=said):
        require_pictures(samples)


def data_of(world):
    return DataConfig(vqa_folder=world / "vqa", vsr_folder=world / "vsr")


def test_test_statements_that_were_trained_on_are_left_out_with_a_warning(world):
    trained, test = (world / f"vsr/{split}.jsonl" for split in ("train", "test"))
    before = read_data_sets(data_of(world))
    shared = json.loads(trained.read_text().splitlines()[3])
    shared |= {"caption": "  " + shared["caption"].upper(), "label": 1 - shared["label"]}
    test.write_text(json.dumps(shared) + "\n" + test.read_text())

    found = read_data_sets(data_of(world))

    n = len(before.samples["vsr-test"])
    assert before.warnings == []
    assert found.warnings[0].startswith(f"1 of {n + 1} statements of VSR's test split stand in its")
    assert [s.question for s in found.samples["vsr-test"]] == [
        s.question for s in before.samples["vsr-test"]
    ]
    assert found.samples["vsr-test"][0].external_id == "test:2"
    assert found.samples["vsr-train"] == before.samples["vsr-train"]


def test_a_test_split_that_is_the_train_split_is_refused(world):
    shutil.copy(world / "vsr/train.jsonl", world / "vsr/test.jsonl")

    with pytest.raises(ValueError, match=r"all 42 statements of .*test\.jsonl stand in train"):
        read_data_sets(data_of(world))


def test_questions_about_a_single_picture_are_refused(world):
    data = data_of(world).model_copy(update={"n_base": 1})

    with pytest.raises(ValueError, match=r"val in .* are about one picture: expected"):
        read_data_sets(data)


def test_a_statement_said_twice_is_a_warning(world):
    file = world / "vsr/train.jsonl"
    file.write_text(file.read_text() + file.read_text().splitlines()[0] + "\n")

    assert read_data_sets(data_of(world)).warnings == [
        "1 statements stand twice in VSR's train split, the first in line 43: each counts as often "
        "as it stands there"
    ]


def test_a_question_of_both_vqa_splits_is_refused(world):
    sample = read_vqav2(world / "vqa", "train")[1]
    moved = {
        "question_id": int(sample.external_id),
        "image_id": int(sample.image.stem[-12:]),
        "question": sample.question,
    }
    said = dict.fromkeys(("multiple_choice_answer", "question_type"), "x") | {
        "answer_type": "other"
    }
    files = [world / f"vqa/v2_{name}.json" for name in
             ("OpenEnded_mscoco_val2014_questions", "mscoco_val2014_annotations")]  # fmt: skip
    edit(files[0], lambda c: c["questions"].append(moved))
    edit(files[1], lambda c: c["annotations"].append(moved | said))
    name = sample.image.name.replace("train", "val")
    shutil.copy(sample.image, world / "vqa/val2014" / name)

    with pytest.raises(ValueError, match=f"question_id {sample.external_id} .*both splits"):
        read_data_sets(data_of(world))


def test_the_same_seed_draws_the_same_samples_in_order(world):
    samples = read_vqav2(world / "vqa", "train")

    first = draw(samples, 5, seed=1)

    assert first == draw(samples, 5, seed=1)
    assert [samples.index(s) for s in first] == sorted(samples.index(s) for s in first)
    assert draw(samples, 10_000, seed=1) == samples
