"""Statements in the official JSON lines of VSR, field by field.

Source: github.com/cambridgeltl/visual-spatial-reasoning
"""

import json
from pathlib import Path
from random import Random

from feature_atlas.toy.questions import Question

N_ANNOTATORS = 30
N_VALIDATORS = 2


def image_name(image_id: int) -> str:
    """The official file name of a COCO 2017 image."""
    return f"{image_id:012d}.jpg"


def statement_row(image_id: int, statement: Question, random: Random) -> dict:
    """One line; validators agree with the truth. The vote fields are strings that hold lists."""
    annotator, *validators = random.sample(range(N_ANNOTATORS), 1 + N_VALIDATORS)
    label = int(statement.answer == "yes")
    name = image_name(image_id)
    return {
        "image": name,
        "image_link": f"http://images.cocodataset.org/train2017/{name}",
        "caption": statement.text,
        "label": label,
        "relation": statement.relation,
        "annotator_id": annotator,
        "vote_true_validator_id": str(validators if label else []),
        "vote_false_validator_id": str([] if label else validators),
        "reference_frame": None,
    }


def write_splits(folder: Path, rows: dict[str, list[dict]]) -> None:
    """train.jsonl, dev.jsonl, test.jsonl"""
    folder.mkdir(parents=True, exist_ok=True)
    for split, lines in rows.items():
        text = "".join(json.dumps(row) + "\n" for row in lines)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
