"""Reader of Visual Spatial Reasoning in its official jsonl files (Liu et al. 2023)."""

import json
from pathlib import Path
from typing import Any

from feature_atlas.etl.inputs.samples import Sample

FIELDS = ("image", "caption", "label", "relation")


def read_vsr(folder: Path, split: str, prompt: str) -> list[Sample]:
    """Statements of ``{split}.jsonl`` as yes/no questions; images lie in ``images/``.

    ``prompt`` is the template that turns a caption into a question and holds ``{caption}``.
    """
    file = folder / f"{split}.jsonl"
    if "{caption}" not in prompt:
        raise ValueError(f"VSR prompt {prompt!r} has no {{caption}}: say where the caption goes.")
    if not file.is_file():
        raise FileNotFoundError(f"no {file}: expected VSR's official {split}.jsonl.")
    lines = file.read_text().splitlines()
    return [
        _sample(folder, split, _record(file, row, line), row, prompt)
        for row, line in enumerate(lines, start=1)
        if line.strip()
    ]


def _record(file: Path, row: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} line {row} is not JSON ({error}).") from error
    missing = [f for f in FIELDS if f not in record]
    if missing:
        raise ValueError(f"{file} line {row} lacks {missing}; expected {list(FIELDS)}.")
    if record["label"] not in (0, 1):
        raise ValueError(f"{file} line {row}: label {record['label']!r}, expected 0 or 1.")
    return dict(record)


def _sample(folder: Path, split: str, record: dict[str, Any], row: int, prompt: str) -> Sample:
    return Sample(
        dataset=f"vsr-{split}",
        external_id=f"{split}:{row}",
        image=folder / "images" / record["image"],
        question=prompt.format(caption=record["caption"]),
        answer="yes" if record["label"] == 1 else "no",
        question_type="statement",
        answer_type="yes/no",
        relation=record["relation"],
    )
