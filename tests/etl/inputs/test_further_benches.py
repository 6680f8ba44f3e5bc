"""What'sUp and GQA, in their official layouts."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_up.benches import GQA, WHATSUP_A, gqa_question, whatsup_row, write_gqa, write_whatsup

from feature_atlas.etl.config.inputs import DataConfig
from feature_atlas.etl.config.skill_files import shipped_skills
from feature_atlas.etl.inputs.data_sets import read_data_sets
from feature_atlas.etl.inputs.gqa import read_gqa
from feature_atlas.etl.inputs.whatsup import OPPOSITES, RELATIONS, read_whatsup
from feature_atlas.features.skill import matched_rule
from feature_atlas.toy.benches import write_benches
from feature_atlas.toy.whatsup_format import SIDES
from feature_atlas.toy.world import write_world

PROMPT = "Is this statement true? {caption}"


def test_a_picture_of_whatsup_is_asked_of_its_relation_and_of_the_opposite(tmp_path: Path):
    right, wrong, *others = read_whatsup(write_whatsup(tmp_path), PROMPT)

    assert (right.question, right.answer, right.relation) == (
        "Is this statement true? A mug on a plate", "yes", "on"
    )  # fmt: skip
    assert (wrong.question, wrong.answer, wrong.relation) == (
        "Is this statement true? A mug under a plate", "no", "under"
    )  # fmt: skip
    assert right.image == wrong.image == tmp_path / "controlled_images/mug_on_plate.jpeg"
    assert [s.relation for s in others[:6]] == [
        *("under", "on"), *("left of", "right of"), *("right of", "left of")
    ]  # fmt: skip
    assert [s.relation for s in others[6:10]] == ["in front of", "behind", "behind", "in front of"]
    assert len({s.external_id for s in (right, wrong, *others)}) == 16


def test_words_alone_answer_half(tmp_path: Path):
    samples = read_whatsup(write_whatsup(tmp_path), PROMPT)

    for question in {s.question for s in samples}:
        said = [s.answer for s in samples if s.question == question]
        assert said.count("yes") == said.count("no") > 0


def test_opposites_are_mutual():
    assert {OPPOSITES[other]: other for other in RELATIONS.values()} == OPPOSITES


def a_row(**changes: Any) -> dict[str, Any]:
    return whatsup_row("controlled_images", "on", WHATSUP_A) | changes


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image_path": "x.jpeg"}, "entry 1: caption_options is missing, expected 4 texts"),
        (a_row(caption_options=["A mug on a plate"] * 4), "expected 4 different texts"),
        (a_row(caption_options=["A mug on a plate", "b", "c"]), "expected 4 texts"),
        (a_row(image_path="../secret.jpeg"), "expected the name of a file of the release"),
        (a_row(image_path="."), "expected the name of a file of the release"),
        (
            a_row(
                caption_options=[f"A mug {r} a plate" for r in ("left", "right", "right of", "on")]
            ),
            "caption_options say left of, right of, right of, on: expected each relation once",
        ),
        (
            a_row(caption_options=[f"A mug {r} a plate" for r in ("on", "at", "left", "right")]),
            "'A mug at a plate' has none of the words left, right, on",
        ),
        (
            a_row(caption_options=[f"A mug {r} a plate" for r in ("on", "left", "right", "front")]),
            "caption_options lack 'under', the opposite of 'on'",
        ),
    ],
)
def test_a_bad_record_of_whatsup_is_named(row: dict[str, Any], message: str, tmp_path: Path):
    file = tmp_path / "controlled_images_dataset.json"
    file.write_text(json.dumps([a_row(), row]), encoding="utf-8")

    with pytest.raises(ValueError, match=message) as raised:
        read_whatsup(tmp_path, PROMPT)
    assert str(raised.value).startswith(f"{file} entry 1: ")


def test_of_gqa_the_spatial_questions_are_taken_that_are_answered_yes_or_no(tmp_path: Path):
    samples = read_gqa(write_gqa(tmp_path))

    assert [(s.external_id, s.answer, s.relation) for s in samples] == [
        ("001", "yes", "near"), ("002", "no", "left of"), ("006", "no", "under")
    ]  # fmt: skip
    assert samples[1].image == tmp_path / "images/n411.jpg"
    assert {s.dataset for s in samples} == {"gqa-val"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"types": {"semantic": "rel"}}, "'9', types: structural is missing, expected a text"),
        ({"types": "rel"}, "'9': types is 'rel', expected an object"),
        ({"imageId": "../x"}, "'9': imageId is '../x', expected letters and digits"),
        ({"semantic": None}, "'9': semantic is None, expected a list of objects"),
        (
            {"semantic": [{"operation": "relate", "argument": "near"}]},
            "'9', semantic 0: argument is 'near', expected object, relation and side",
        ),
        ({"answer": None}, "'9': answer is None, expected a text"),
    ],
)
def test_a_bad_question_of_gqa_is_named(changes: dict[str, Any], message: str, tmp_path: Path):
    question = gqa_question("Is it near?", "yes", step=("relate", "a,near,s (1)")) | changes
    write_gqa(tmp_path, {"001": GQA["001"]})
    file = tmp_path / "val_balanced_questions.json"
    file.write_text(json.dumps({"001": GQA["001"], "9": question}), encoding="utf-8")

    with pytest.raises(ValueError, match=message) as raised:
        read_gqa(tmp_path)
    assert str(raised.value).startswith(f"{file} entry ")


def test_a_file_without_a_spatial_question_says_what_was_expected(tmp_path: Path):
    write_gqa(tmp_path, {"005": GQA["005"]})

    with pytest.raises(ValueError, match="no spatial question that is answered yes or no"):
        read_gqa(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("", "'': its name is empty"), ("a\x00b", "its name holds a zero byte"), ("\ud800", "half")],
)
def test_a_question_of_gqa_without_a_sound_id_is_named(name: str, message: str, tmp_path: Path):
    write_gqa(tmp_path, {"001": GQA["001"], name: GQA["002"]})

    with pytest.raises(ValueError, match=message):
        read_gqa(tmp_path)


def test_a_set_of_whatsup_without_a_picture_says_what_was_expected(tmp_path: Path):
    write_whatsup(tmp_path)
    (tmp_path / "controlled_clevr_dataset.json").write_text("[]", encoding="utf-8")

    with pytest.raises(ValueError, match=r"clevr_dataset\.json has no picture: expected What"):
        read_whatsup(tmp_path, PROMPT)


def test_missing_files_say_what_was_expected(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="expected What'sUp's official controlled_images"):
        read_whatsup(tmp_path, PROMPT)
    with pytest.raises(FileNotFoundError, match="expected GQA's official val_balanced"):
        read_gqa(tmp_path)


def test_a_run_reads_them_behind_the_others_and_opens_their_pictures(tmp_path: Path):
    world = tmp_path / "world"
    write_world(world, seed=3, n_train_images=4, n_val_images=3, n_vsr_images=20)
    alone = DataConfig(vqa_folder=world / "vqa", vsr_folder=world / "vsr")
    data = alone.model_copy(
        update={
            "whatsup_folder": write_whatsup(tmp_path / "whatsup"),
            "gqa_folder": write_gqa(tmp_path / "gqa"),
        }
    )

    before, found = read_data_sets(alone), read_data_sets(data)

    assert list(found.samples) == [*before.samples, "whatsup-controlled", "gqa-val"]
    assert {name: found.samples[name] for name in before.samples} == before.samples
    assert found.sizes[tmp_path / "gqa/images/n411.jpg"] == (64, 64)
    file = tmp_path / "whatsup/controlled_images_dataset.json"
    rows = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps([*rows, rows[0]]), encoding="utf-8")
    [said] = set(read_data_sets(data).warnings) - set(found.warnings)
    assert said.startswith("2 questions of whatsup-controlled are asked of the same picture twice")
    (tmp_path / "whatsup/controlled_clevr/mug_behind_plate.jpeg").unlink()
    with pytest.raises(FileNotFoundError, match=r"missing image .*mug_behind_plate\.jpeg"):
        read_data_sets(data)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_benches(tmp_path_factory.mktemp("drawn"), seed=5, n_images=12)


def test_the_tiny_worlds_own_benches_are_in_the_official_files(drawn: Path, tmp_path: Path):
    whatsup, gqa = read_whatsup(drawn / "whatsup", PROMPT), read_gqa(drawn / "gqa")

    assert len(whatsup) == 2 * 2 * 12
    assert {s.relation for s in whatsup} == set(SIDES)
    assert all(f"to the {s.relation}" in s.question for s in whatsup)
    assert {s.relation for s in gqa} == {"left of", "right of", "above", "under"}
    for samples in (whatsup, gqa):
        n_yes = sum(s.answer == "yes" for s in samples)
        assert abs(2 * n_yes - len(samples)) <= 4
        assert all(s.image.is_file() for s in samples)
    write_benches(tmp_path, seed=5, n_images=12)
    for file in (f for f in drawn.rglob("*") if f.is_file()):
        assert file.read_bytes() == (tmp_path / file.relative_to(drawn)).read_bytes()


@pytest.mark.parametrize("make", ["official", "drawn"])
def test_the_skills_that_ship_for_them_take_every_question(make: str, drawn: Path, tmp_path: Path):
    folder = drawn
    if make == "official":
        folder = tmp_path
        write_whatsup(folder / "whatsup")
        write_gqa(folder / "gqa")
    found = {"whatsup": read_whatsup(folder / "whatsup", PROMPT), "gqa": read_gqa(folder / "gqa")}

    for name, samples in found.items():
        skill = shipped_skills()[name]
        assert skill.dataset == name
        for sample in samples:
            of = {"relation": sample.relation, "external_id": sample.external_id}
            assert matched_rule(skill, sample.question, sample.question_type, **of) is not None
