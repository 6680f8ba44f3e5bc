"""Damaged data files: each kind in a random row of a fresh file; file and row are in the error."""

import json
import random
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feature_atlas.etl.inputs.vqav2 import read_vqav2
from feature_atlas.etl.inputs.vsr import read_vsr

N_ROWS = 12
QUESTIONS = "v2_OpenEnded_mscoco_val2014_questions.json"
ANNOTATIONS = "v2_mscoco_val2014_annotations.json"
HALF = "a \ud83d b"
SEED = secrets.randbits(32)
"""Another one every time; a failure prints it."""

Rows = list[dict[str, Any]]
Damage = Callable[[Rows, int], object]


def questions() -> Rows:
    return [
        {"question_id": 42_000 + row, "image_id": 42 + row // 3, "question": f"What is {row}?"}
        for row in range(N_ROWS)
    ]


def annotations() -> Rows:
    answers = [{"answer": "yes", "answer_confidence": "maybe", "answer_id": n} for n in (1, 2)]
    said = {"multiple_choice_answer": "yes", "question_type": "what is", "answer_type": "yes/no"}
    return [
        {**said, "question_id": q["question_id"], "image_id": q["image_id"], "answers": answers}
        for q in questions()
    ]


def statements() -> Rows:
    return [
        {
            "image": f"{row // 2:012d}.jpg",
            "caption": f"The cat is left of dog {row}.",
            "label": row % 2,
            "relation": "left of",
            "vote_true_validator_id": "[1, 2]",
        }
        for row in range(N_ROWS)
    ]


def put(name: str, value: object) -> Damage:
    return lambda rows, row: rows[row].update({name: value})


def without(name: str) -> Damage:
    return lambda rows, row: rows[row].pop(name)


def doubled(name: str) -> Damage:
    return lambda rows, row: rows[row].update({name: rows[row - 1][name]})


def instead(value: object) -> Damage:
    return lambda rows, row: rows.__setitem__(row, value)  # type: ignore[arg-type]


IN_QUESTIONS = [
    *[(put("question_id", bad), "question_id is .*whole number")
      for bad in ("7", 7.0, None, True, -1)],
    *[(put("image_id", bad), "image_id is .*whole number") for bad in ("7", 7.5, None, [7])],
    *[(put("question", bad), "question is .*a text") for bad in (None, "", " \n", 7, ["Why?"])],
    *[(put("question", bad), "question holds (a zero byte|half a char)") for bad in (HALF, "a\0b")],
    *[(without(name), f"{name} is missing") for name in ("question_id", "image_id", "question")],
    (doubled("question_id"), r"question_id \d+ comes twice, first in entry"),
    (put("question_id", 9), "question_id 9 has no annotation|no question"),
    *[(instead(bad), "expected an object") for bad in (None, "x", [1], 3)],
]  # fmt: skip
IN_ANNOTATIONS = [
    *[(put("question_id", bad), "question_id is .*whole number") for bad in ("7", 7.0, None, True)],
    *[
        (put(name, bad), f"{name} is .*text")
        for bad in (None, "", "\t", 1, True, ["yes"])
        for name in ("multiple_choice_answer", "question_type")
    ],
    (put("multiple_choice_answer", HALF), "multiple_choice_answer holds (a zero byte|half a char)"),
    *[(put("answer_type", bad), "answer_type is .*expected yes/no") for bad in ("Yes/No", None, 1)],
    *[(without(name), f"{name} is missing")
      for name in ("question_id", "multiple_choice_answer", "question_type", "answer_type")],
    *[(put("answers", bad), "answers is not a list")
      for bad in (None, [], "yes", ["yes"], [{"answer": None}], {"answer": "yes"})],
    (put("image_id", 77), "image_id is 77, and"),
    (doubled("question_id"), r"question_id \d+ comes twice, first in entry"),
    (put("question_id", 9), "no question has the question_id 9"),
    (instead([]), "expected an object"),
]  # fmt: skip
IN_STATEMENTS = [
    *[(put("label", bad), "label is .*expected 0 or 1")
      for bad in (2, -1, "1", True, None, 0.5, 1.0)],
    *[
        (put(name, bad), f"{name} is .*text")
        for bad in (None, "", "  ", 4, ["x"])
        for name in ("image", "caption", "relation")
    ],
    *[(put(name, HALF), f"{name} holds half a char") for name in ("caption", "relation")],
    *[(put("image", bad), "expected the name of a file") for bad in ("/etc/x.jpg", "../x.jpg")],
    *[(without(name), f"{name} is missing") for name in ("image", "caption", "label", "relation")],
    *[(instead(bad), "expected an object") for bad in (None, "x", [1], 3)],
]  # fmt: skip


def dice(case: int) -> random.Random:
    return random.Random(f"{SEED}/{case}")


def write_vqa(folder: Path, asked: Rows, answered: Rows) -> None:
    (folder / QUESTIONS).write_text(json.dumps({"questions": asked}))
    (folder / ANNOTATIONS).write_text(json.dumps({"annotations": answered}))


def write_vsr(folder: Path, rows: Rows) -> Path:
    file = folder / "test.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_the_undamaged_files_are_read(tmp_path: Path) -> None:
    write_vqa(tmp_path, questions(), annotations())
    write_vsr(tmp_path, statements())

    assert len(read_vqav2(tmp_path, "val")) == len(read_vsr(tmp_path, "test", "{caption}")) == 12


@pytest.mark.parametrize("case", range(len(IN_QUESTIONS)))
def test_a_damaged_question_is_named(tmp_path: Path, case: int) -> None:
    (damage, said), row, asked = IN_QUESTIONS[case], dice(case).randrange(1, N_ROWS), questions()
    damage(asked, row)
    write_vqa(tmp_path, asked, annotations())

    with pytest.raises(ValueError, match=said) as refused:
        read_vqav2(tmp_path, "val")

    assert f"entry {row}: " in str(refused.value), SEED
    assert "_questions.json" in str(refused.value) or "no question has" in str(refused.value)


@pytest.mark.parametrize("case", range(len(IN_ANNOTATIONS)))
def test_a_damaged_annotation_is_named(tmp_path: Path, case: int) -> None:
    (damage, said), row = IN_ANNOTATIONS[case], dice(case).randrange(1, N_ROWS)
    answered = annotations()
    damage(answered, row)
    write_vqa(tmp_path, questions(), answered)

    with pytest.raises(ValueError, match=said) as refused:
        read_vqav2(tmp_path, "val")

    assert f"{ANNOTATIONS} entry {row}: " in str(refused.value), SEED


@pytest.mark.parametrize("case", range(len(IN_STATEMENTS)))
def test_a_damaged_statement_is_named(tmp_path: Path, case: int) -> None:
    (damage, said), row, rows = IN_STATEMENTS[case], dice(case).randrange(1, N_ROWS), statements()
    damage(rows, row)
    write_vsr(tmp_path, rows)

    with pytest.raises(ValueError, match=said) as refused:
        read_vsr(tmp_path, "test", "{caption}")

    assert f"test.jsonl line {row + 1}: " in str(refused.value), SEED


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: expected VQAv2's official file"),
        (b" \n\n", "is empty"),
        (b"[]", "holds list: expected VQAv2"),
        (b"null", "holds NoneType"),
        (b"{}", "has no list '(questions|annotations)'"),
        (b'{"questions": {}, "annotations": null}', "has no list"),
        (b'{"questions": [], "annotations": []}', "has no (questions|annotations): expected at"),
        (b'{"questions": [1', "is not complete JSON"),
        (b'{"questions": NaN}', "NaN is no number of JSON"),
        (b'{"questions": [{"question_id": 1, "question_id": 2}]}', "'question_id' comes twice"),
        (b"[" * 100_000, "is no sound JSON"),
        (b'{"a":\n "\xff"}', r"json line 2 is no UTF-8 text \(byte 8 is 0xff\)"),
        ("{}".encode("utf-16"), "is no UTF-8 text"),
        (b"\x1f\x8b\x08\x00", "is no UTF-8 text"),
        (b'{"data_subtype": "train2014", "questions": [], "annotations": []}',
         "says data_subtype 'train2014': expected the file of val2014"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", [QUESTIONS, ANNOTATIONS])
def test_a_file_that_is_no_list_of_entries_is_named(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    write_vqa(tmp_path, questions(), annotations())
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ValueError, match=said) as refused:
        read_vqav2(tmp_path, "val")

    assert str(tmp_path / name) in str(refused.value)


def test_files_cut_anywhere_are_refused(tmp_path: Path) -> None:
    write_vqa(tmp_path, questions(), annotations())
    file = tmp_path / random.Random(SEED).choice([QUESTIONS, ANNOTATIONS])
    content = file.read_bytes()

    for length in range(0, len(content), 97):
        file.write_bytes(content[:length])
        with pytest.raises(ValueError, match=file.name):
            read_vqav2(tmp_path, "val")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{not json", "is not JSON"),
        (b'{"image": "1.jpg", "image": "2.jpg"}', "'image' comes twice in one object"),
        (b'{"label": Infinity}', "Infinity is no number"),
        (b'{"caption": "caf\xe9"}', r"is no UTF-8 text \(byte \d+ is 0xe9\)"),
    ],
)
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    file = write_vsr(tmp_path, statements())
    lines, row = file.read_bytes().splitlines(), random.Random(SEED).randrange(N_ROWS)
    file.write_bytes(b"\r\n".join([*lines[:row], line, *lines[row:]]))

    with pytest.raises(ValueError, match=rf"test\.jsonl line {row + 1} .*{said}"):
        read_vsr(tmp_path, "test", "{caption}")


def test_a_byte_order_mark_and_windows_lines_change_nothing(tmp_path: Path) -> None:
    file = write_vsr(tmp_path, statements())
    before = read_vsr(tmp_path, "test", "{caption}")
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))

    assert read_vsr(tmp_path, "test", "{caption}") == before


def test_a_line_ends_where_json_says_so(tmp_path: Path) -> None:
    rows = statements()
    rows[3]["caption"] = "The cat\u2028is left\x85of it."
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")

    found = read_vsr(tmp_path, "test", "{caption}")

    assert len(found) == N_ROWS
    assert found[3].question == rows[3]["caption"]
