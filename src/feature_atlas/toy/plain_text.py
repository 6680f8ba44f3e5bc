"""Plain text of the language model: scenes in words with one question each, as documents.

They are what its base dictionaries were trained on: tokenised with one `<bos>` before it, a
document is a prefix and one block of a text lesson, token by token. Only the mix differs: a lesson
tells a scene once for thirteen questions, and here it is told for each.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from feature_atlas.toy.base_sae import QUESTIONS_AND_CAPTIONS
from feature_atlas.toy.describe import textual_scene
from feature_atlas.toy.lessons import Teacher, asked_text, questions_of
from feature_atlas.toy.scene import random_scene

# Far from the seeds of the networks' lessons: these scenes are new to them.
FIRST_SEED = 1_000_000


def plain_texts(seed: int, n_scenes: int) -> Iterator[str]:
    """Every question about every scene, as one document each."""
    teacher = Teacher(FIRST_SEED + seed)
    for _ in range(n_scenes):
        scene = random_scene(teacher.random)
        told = textual_scene(scene, teacher.random)
        for question in questions_of(scene, teacher, QUESTIONS_AND_CAPTIONS):
            yield f"<user> {told} {asked_text(question)} <assistant> {question.answer} <eos>"


def write_plain_text(file: Path, seed: int, n_scenes: int) -> None:
    """A line of JSON with a "text" for each document."""
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"text": text}) + "\n" for text in plain_texts(seed, n_scenes))
