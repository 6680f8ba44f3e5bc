"""Stage `samples`: the questions and pictures that the run's facts refer to."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from feature_atlas.etl.inputs.pictures import open_image
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.run_folder.artifacts import Stage, StageOutput, run_stage
from feature_atlas.etl.stages.vlm.cropping import warn_of_cropping
from feature_atlas.etl.study import Study, open_study

THUMBNAIL = 224
"""Longest side of a stored picture in pixels; smaller pictures are kept as they are."""

COUNTED = "vqav2-train"
"""Split whose samples no fact refers to: it only trains dictionaries."""


def run_samples(run: Path) -> Stage:
    """Tables `image` and `sample`, numbered locally; the loader maps them to database ids."""
    study = open_study(run)
    shown = tuple(name for name in study.samples if name != COUNTED)
    return run_stage(
        run,
        "samples",
        params={"splits": shown},
        reads=[],
        body=lambda out: _write(out, study, shown),
    )


def _write(output: StageOutput, study: Study, shown: tuple[str, ...]) -> None:
    splits = {name: study.samples[name] for name in shown}
    numbers = _image_numbers([s for samples in splits.values() for s in samples])
    images = _image_columns(list(numbers))
    output.table("image", images)
    for warning in study.data_sets.warnings:
        output.warn(warning)
    sizes = list(zip(images["width"], images["height"], strict=True))
    warn_of_cropping(output, study.vlm.processor, sizes)
    keys = {entry["name"]: entry["key"] for entry in study.inputs["datasets"]}
    for name, samples in splits.items():
        first = study.first_number[name]
        output.table(
            "sample",
            {
                "sample": np.arange(first, first + len(samples), dtype=np.int64),
                "dataset": np.full(len(samples), keys[name], np.int32),
                "external_id": [s.external_id for s in samples],
                "image": np.array([numbers[s.image] for s in samples], np.int64),
                "question": [s.question for s in samples],
                "answer": [s.answer for s in samples],
                "question_type": [s.question_type for s in samples],
                "answer_type": [s.answer_type for s in samples],
                "relation": [s.relation for s in samples],
            },
        )


def _image_numbers(samples: list[Sample]) -> dict[Path, int]:
    numbers: dict[Path, int] = {}
    for sample in samples:
        numbers.setdefault(sample.image, len(numbers))
    return numbers


def _image_columns(files: list[Path]) -> dict[str, list[Any]]:
    rows = [image_row(number, file) for number, file in enumerate(files)]
    return {key: [row[key] for row in rows] for key in rows[0]}


def image_row(number: int, file: Path) -> dict[str, Any]:
    """One picture as the table image has it: hash, upright size, place, thumbnail."""
    picture = open_image(file)
    small = picture.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    stored = io.BytesIO()
    small.save(stored, "PNG" if max(small.size) <= 96 else "JPEG", quality=85)
    return {
        "image": number,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "width": picture.width,
        "height": picture.height,
        "uri": str(file),
        "thumbnail": stored.getvalue(),
    }
