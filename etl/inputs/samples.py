"""What every dataset reader returns: one question about one picture, and where it came from."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Sample(NamedTuple):
    """One prompt with its known answer."""

    dataset: str
    """Name of the dataset and split, e.g. ``vqav2-val``."""
    external_id: str
    """The dataset's own key: a VQAv2 question_id, or a VSR file and line."""
    image: Path
    """The picture's file."""
    question: str
    """What the model is asked (for VSR: the statement inside its prompt)."""
    answer: str
    """The most common answer, or yes/no for a VSR label."""
    question_type: str | None = None
    """VQAv2's prefix, e.g. ``is the``."""
    answer_type: str | None = None
    """VQAv2's ``yes/no``, ``number`` or ``other``."""
    relation: str | None = None
    """VSR's relation."""


def draw(samples: Sequence[T], n: int, seed: int) -> list[T]:
    """At most ``n`` samples (or rows), the same for the same seed, in the dataset's order."""
    if n >= len(samples):
        return list(samples)
    chosen = sorted(random.Random(seed).sample(range(len(samples)), n))
    return [samples[i] for i in chosen]
