import json
import shutil

import pytest
from PIL import Image

from feature_atlas.etl.inputs.samples import draw, open_image, require_images
from feature_atlas.etl.inputs.vqav2 import read_vqav2
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
    require_images(samples)
    assert open_image(samples[0].image).size == (64, 64)


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
            r"dev\.jsonl line 2 lacks \['caption', 'label', 'relation'\]",
        ),
        (json.dumps({**REAL_VSR_LINE, "label": 7}), r"dev\.jsonl line 2: label 7, expected 0 or 1"),
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


def test_a_prompt_without_caption_is_refused(tmp_path):
    with pytest.raises(ValueError, match="say where the caption goes"):
        read_vsr(tmp_path, "train", "Is it true?")


def test_a_missing_image_is_found_before_any_work(world):
    samples = read_vqav2(world / "vqa", "val")
    samples[0].image.unlink()

    with pytest.raises(FileNotFoundError, match=rf"missing image .*{samples[0].image.name}"):
        require_images(samples)


def test_an_image_that_is_none_is_named(tmp_path):
    file = tmp_path / "broken.jpg"
    file.write_bytes(b"not a picture")

    with pytest.raises(ValueError, match=r"broken\.jpg is not a readable image"):
        open_image(file)


def test_grey_and_transparent_pictures_become_rgb(tmp_path):
    Image.new("LA", (5, 4)).save(tmp_path / "grey.png")

    assert open_image(tmp_path / "grey.png").mode == "RGB"


def test_the_same_seed_draws_the_same_samples_in_order(world):
    samples = read_vqav2(world / "vqa", "train")

    first = draw(samples, 5, seed=1)

    assert first == draw(samples, 5, seed=1)
    assert [samples.index(s) for s in first] == sorted(samples.index(s) for s in first)
    assert draw(samples, 10_000, seed=1) == samples
