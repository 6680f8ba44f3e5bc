"""Reader of VQAv2 in its official files (Goyal et al. 2017; visualqa.org/vqa_v2).

Files: ``v2_OpenEnded_mscoco_{split}2014_questions.json``,
``v2_mscoco_{split}2014_annotations.json``, ``{split}2014/COCO_{split}2014_%012d.jpg``, and, where
it is there, ``v2_mscoco_{split}2014_complementary_pairs.json``.
"""

from collections.abc import Iterable
from pathlib import Path

from feature_atlas.etl.inputs.json_entries import Entry, entries, read_object, read_pairs
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.run_folder.artifacts import file_sha256

OFFICIAL = "VQAv2's official file; download it from visualqa.org"
ANSWER_TYPES = ("yes/no", "number", "other")


def read_vqav2(folder: Path, split: str) -> list[Sample]:
    """Questions joined with their annotations, in file order; ``split`` is train or val."""
    questions, annotations = (_by_id(file, split) for file in vqav2_files(folder, split))
    for number, annotation in annotations.items():
        if number not in questions:
            raise annotation.refuse(f"no question has the question_id {number}")
    return [_sample(folder, split, q, annotations.get(n)) for n, q in questions.items()]


def vqav2_files(folder: Path, split: str) -> tuple[Path, Path]:
    """Questions and annotations."""
    return (
        folder / f"v2_OpenEnded_mscoco_{split}2014_questions.json",
        folder / f"v2_mscoco_{split}2014_annotations.json",
    )


def pairs_file(folder: Path, split: str) -> Path:
    """Where the complementary pairs are, if they are there."""
    return folder / f"v2_mscoco_{split}2014_complementary_pairs.json"


def complements(folder: Path, split: str) -> dict[str, list[str]]:
    """By question_id, the same question about pictures of which the answer is another.

    So VQAv2 was balanced; empty without the file. Both are said by their external ids.
    """
    file = pairs_file(folder, split)
    found: dict[str, list[str]] = {}
    for pair in read_pairs(file, OFFICIAL) if file.is_file() else []:
        for one, other in (pair, pair[::-1]):
            found.setdefault(str(one), []).append(str(other))
    return found


def require_apart(folder: Path, train: Iterable[Sample], val: Iterable[Sample]) -> None:
    """Refuse a question about one picture that stands in both splits under one id."""
    known = {sample.external_id: sample for sample in train}
    for sample in val:
        other = known.get(sample.external_id)
        if other is not None and _is_same(sample, other):
            raise ValueError(
                f"{folder}: question_id {sample.external_id} ({sample.question!r}, picture "
                f"{sample.image.name}) stands in the files of both splits: what is measured on "
                "val must not have been trained on. Take it out of one of them."
            )


def _is_same(one: Sample, other: Sample) -> bool:
    if one.question != other.question or not (one.image.is_file() and other.image.is_file()):
        return False
    return file_sha256(one.image) == file_sha256(other.image)


def _by_id(file: Path, split: str) -> dict[int, Entry]:
    """The entries of a file by their question_id."""
    content = read_object(file, OFFICIAL)
    said = content.get("data_subtype", f"{split}2014")
    if said != f"{split}2014":
        raise ValueError(f"{file} says data_subtype {said!r}: expected the file of {split}2014.")
    name = "questions" if file.name.endswith("questions.json") else "annotations"
    found: dict[int, Entry] = {}
    for entry in entries(file, content, name):
        number = entry.whole("question_id")
        if number in found:
            raise entry.refuse(f"question_id {number} comes twice, first in {found[number].place}")
        found[number] = entry
    if not found:
        raise ValueError(f"{file} has no {name}: expected at least one.")
    return found


def _sample(folder: Path, split: str, question: Entry, annotation: Entry | None) -> Sample:
    number, image = question.whole("question_id"), question.whole("image_id")
    asked = question.text("question").strip()
    if annotation is None:
        raise question.refuse(f"question_id {number} has no annotation")
    if "image_id" in annotation.value and annotation.whole("image_id") != image:
        said = annotation.value["image_id"]
        raise annotation.refuse(f"image_id is {said}, and {image} in its question")
    _check_answers(annotation)
    return Sample(
        dataset=f"vqav2-{split}",
        external_id=str(number),
        image=folder / f"{split}2014" / f"COCO_{split}2014_{image:012d}.jpg",
        question=asked,
        answer=annotation.text("multiple_choice_answer"),
        question_type=annotation.text("question_type"),
        answer_type=annotation.one_of("answer_type", *ANSWER_TYPES),
    )


def _check_answers(annotation: Entry) -> None:
    """What ten people said is not used; another layout would tell of another file."""
    answers = annotation.value.get("answers")
    if "answers" in annotation.value and (
        not isinstance(answers, list)
        or not answers
        or not all(isinstance(a, dict) and isinstance(a.get("answer"), str) for a in answers)
    ):
        raise annotation.refuse("answers is not a list of objects with a text answer each")
