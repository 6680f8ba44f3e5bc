"""Questions in the two official JSON files of VQAv2, field by field.

Source: visualqa.org/download.html
"""

import json
from pathlib import Path

from feature_atlas.toy.questions import Question

N_HUMAN_ANSWERS = 10
# Official prefixes, from QuestionTypes/mscoco_question_types.txt; the longest that fits is taken.
QUESTION_TYPES = (
    "is there a",
    "is there",
    "is the",
    "how many",
    "what color is the",
    "what does the",
    "what",
    "where is the",
    "does the",
)
OTHER_QUESTION_TYPE = "none of the above"
INFO = {
    "description": "Drawn scenes of the tiny world in the format of VQA v2.0.",
    "url": "http://visualqa.org",
    "version": "2.0",
    "year": 2017,
    "contributor": "feature atlas, tiny world",
    "date_created": "2017-04-26 17:07:13",
}
LICENSE = {
    "url": "https://www.apache.org/licenses/LICENSE-2.0",
    "name": "Apache License, Version 2.0",
}

Asked = list[tuple[int, int, Question]]
"""(image id, number of the question on this image, question)"""


def image_name(split: str, image_id: int) -> str:
    """The official file name of a COCO 2014 image."""
    return f"COCO_{split}2014_{image_id:012d}.jpg"


def question_id(image_id: int, number: int) -> int:
    """The official number of the n-th question on an image."""
    return image_id * 1000 + number


def question_type(text: str) -> str:
    """The official prefix a question begins with."""
    fitting = [prefix for prefix in QUESTION_TYPES if text.lower().startswith(f"{prefix} ")]
    return max(fitting, key=len, default=OTHER_QUESTION_TYPE)


def answer_type(answer: str) -> str:
    """ "yes/no", "number" or "other"."""
    if answer in ("yes", "no"):
        return "yes/no"
    return "number" if answer.isdigit() else "other"


def write_questions(folder: Path, split: str, asked: Asked) -> None:
    """v2_OpenEnded_mscoco_{split}2014_questions.json"""
    questions = [
        {
            "image_id": image_id,
            "question": question.text,
            "question_id": question_id(image_id, number),
        }
        for image_id, number, question in asked
    ]
    content = {
        "info": INFO,
        "task_type": "Open-Ended",
        "data_type": "mscoco",
        "license": LICENSE,
        "data_subtype": f"{split}2014",
        "questions": questions,
    }
    path = folder / f"v2_OpenEnded_mscoco_{split}2014_questions.json"
    path.write_text(json.dumps(content), encoding="utf-8")


def write_annotations(folder: Path, split: str, asked: Asked) -> None:
    """v2_mscoco_{split}2014_annotations.json"""
    content = {
        "info": INFO,
        "license": LICENSE,
        "data_subtype": f"{split}2014",
        "annotations": [_annotation(*one) for one in asked],
        "data_type": "mscoco",
    }
    path = folder / f"v2_mscoco_{split}2014_annotations.json"
    path.write_text(json.dumps(content), encoding="utf-8")


def _annotation(image_id: int, number: int, question: Question) -> dict:
    """Ten people who all know the truth: this world has no doubtful answers."""
    answers = [
        {"answer": question.answer, "answer_confidence": "yes", "answer_id": answer_id}
        for answer_id in range(1, N_HUMAN_ANSWERS + 1)
    ]
    return {
        "question_type": question_type(question.text),
        "multiple_choice_answer": question.answer,
        "answers": answers,
        "image_id": image_id,
        "answer_type": answer_type(question.answer),
        "question_id": question_id(image_id, number),
    }
