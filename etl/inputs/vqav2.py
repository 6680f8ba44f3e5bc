"""Reader of VQAv2 in its official files (Goyal et al. 2017; visualqa.org/vqa_v2)."""

import json
from pathlib import Path
from typing import Any

from feature_atlas.etl.inputs.samples import Sample


def read_vqav2(folder: Path, split: str) -> list[Sample]:
    """Questions joined with their annotations, in file order; ``split`` is train or val.

    Files: ``v2_OpenEnded_mscoco_{split}2014_questions.json``,
    ``v2_mscoco_{split}2014_annotations.json``, ``{split}2014/COCO_{split}2014_%012d.jpg``.
    """
    question_file = folder / f"v2_OpenEnded_mscoco_{split}2014_questions.json"
    annotation_file = folder / f"v2_mscoco_{split}2014_annotations.json"
    questions = _entries(question_file, "questions")
    annotations = {
        a["question_id"]: a for a in _entries(annotation_file, "annotations") if "question_id" in a
    }
    return [
        _sample(folder, split, question, annotations, f"{question_file} entry {row}")
        for row, question in enumerate(questions)
    ]


def _entries(file: Path, key: str) -> list[dict[str, Any]]:
    if not file.is_file():
        raise FileNotFoundError(
            f"no {file}: expected VQAv2's official file; download it from visualqa.org."
        )
    try:
        content = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is not complete JSON ({error}): download it again.") from error
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise ValueError(f"{file} has no list {key!r}: expected VQAv2's official layout.")
    entries: list[dict[str, Any]] = content[key]
    return entries


def _sample(
    folder: Path,
    split: str,
    question: dict[str, Any],
    annotations: dict[int, dict[str, Any]],
    where: str,
) -> Sample:
    try:
        annotation = annotations[question["question_id"]]
        image = f"COCO_{split}2014_{question['image_id']:012d}.jpg"
        return Sample(
            dataset=f"vqav2-{split}",
            external_id=str(question["question_id"]),
            image=folder / f"{split}2014" / image,
            question=question["question"].strip(),
            answer=annotation["multiple_choice_answer"],
            question_type=annotation["question_type"],
            answer_type=annotation["answer_type"],
        )
    except KeyError as error:
        raise ValueError(
            f"{where}: {error} is missing from the question or its annotation; "
            "expected question_id, image_id, question and an annotation with "
            "multiple_choice_answer, question_type, answer_type."
        ) from error
