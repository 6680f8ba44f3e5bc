"""Small What'sUp and GQA in their official layouts, with plain pictures."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

WHATSUP_A = ("on", "under", "to the left of", "to the right of")
WHATSUP_B = ("in front of", "behind", "to the left of", "to the right of")


def whatsup_row(set_name: str, truth: str, options: tuple[str, ...]) -> dict[str, Any]:
    """A record as the release has it: the right caption first."""
    captions = [f"A mug {relation} a plate" for relation in (truth, *options)]
    return {
        "image_path": f"data/{set_name}/mug_{truth.replace(' ', '-')}_plate.jpeg",
        "caption_options": list(dict.fromkeys(captions)),
    }


def write_whatsup(folder: Path) -> Path:
    """Both sets: one record for each relation."""
    for name, options in (("controlled_images", WHATSUP_A), ("controlled_clevr", WHATSUP_B)):
        rows = [whatsup_row(name, truth, options) for truth in options]
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, row in enumerate(rows):
            picture = folder / Path(row["image_path"]).relative_to("data")
            Image.new("RGB", (64, 64), (40 * number, 90, 200)).save(picture)
        (folder / f"{name}_dataset.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def gqa_question(
    asked: str, answer: str, *, step: tuple[str, str], image: str = "2407890", kind: str = "rel"
) -> dict[str, Any]:
    """A record with every field of the release; ``step`` is its last operation."""
    return {
        "semantic": [
            {"operation": "select", "dependencies": [], "argument": "pond (1039893)"},
            {"operation": step[0], "dependencies": [0], "argument": step[1]},
            {"operation": "exist", "dependencies": [1], "argument": "?"},
        ],
        "entailed": [],
        "equivalent": [],
        "question": asked,
        "imageId": image,
        "isBalanced": True,
        "groups": {"global": None, "local": "13-pond_cart"},
        "answer": answer,
        "semanticStr": f"select: pond (1039893)->{step[0]}: {step[1]} [0]->exist: ? [1]",
        "annotations": {"answer": {}, "question": {"2": "1039872"}, "fullAnswer": {}},
        "types": {"detailed": "existRelS", "semantic": kind, "structural": "verify"},
        "fullAnswer": "Yes.",
    }


GQA = {
    "001": gqa_question(
        "Is there a cart near the pond?", "yes", step=("relate", "cart,near,s (7)")
    ),
    "002": gqa_question(
        "Is the book to the left of the bed?", "no", image="n411",
        step=("verify rel", "book,to the left of,s (8)"),
    ),
    "003": gqa_question("Who is wearing it?", "yes", step=("relate", "man,wearing,s (9)")),
    "004": gqa_question("What is on it?", "pipe", step=("relate", "_,on,s (722335)")),
    "005": gqa_question("Is it dark?", "yes", step=("verify color", "dark"), kind="attr"),
    "006": gqa_question(
        "Is the table, round, under it?", "no", step=("relate", "table, round,under,o (-)")
    ),
}  # fmt: skip


def write_gqa(folder: Path, questions: dict[str, Any] = GQA) -> Path:
    """The balanced questions, and their pictures."""
    (folder / "images").mkdir(parents=True)
    for number, image in enumerate(sorted({one["imageId"] for one in questions.values()})):
        Image.new("RGB", (64, 64), (90, 60 * number, 10)).save(folder / f"images/{image}.jpg")
    file = folder / "val_balanced_questions.json"
    file.write_text(json.dumps(questions), encoding="utf-8")
    return folder
