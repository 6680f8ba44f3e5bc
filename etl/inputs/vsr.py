"""Reader of Visual Spatial Reasoning in its official jsonl files (Liu et al. 2023)."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from feature_atlas.etl.inputs.json_entries import Entry, read_lines
from feature_atlas.etl.inputs.samples import Sample

Statement = tuple[Path, str]
"""A picture, and what is said of it, without regard to case and spacing."""


def read_vsr(folder: Path, split: str, prompt: str) -> list[Sample]:
    """Statements of ``{split}.jsonl`` as yes/no questions; images lie in ``images/``.

    ``prompt`` is the template that turns a caption into a question and holds ``{caption}``.
    """
    _require_prompt(prompt)
    rows = read_lines(folder / f"{split}.jsonl", f"VSR's official {split}.jsonl")
    return [_sample(folder, split, row, prompt) for row in rows]


def held_out(train: Iterable[Sample], test: Iterable[Sample]) -> list[Sample]:
    """The test statements that do not stand in the train split as well."""
    known = set(map(statement, train))
    return [sample for sample in test if statement(sample) not in known]


def doubled(samples: Iterable[Sample]) -> list[Sample]:
    """Those that an earlier one of the same split already says."""
    known: set[Statement] = set()
    found = []
    for sample in samples:
        if statement(sample) in known:
            found.append(sample)
        known.add(statement(sample))
    return found


def statement(sample: Sample) -> Statement:
    """What makes two statements the same, whatever their files, lines and labels."""
    return sample.image, " ".join(sample.question.casefold().split())


def _require_prompt(prompt: str) -> None:
    try:
        asked = prompt.format(caption="\0")
    except (LookupError, ValueError, AttributeError) as error:
        raise ValueError(
            f"VSR prompt {prompt!r} cannot be filled in ({error!r}): expected {{caption}} and no "
            "other braces."
        ) from None
    if "\0" not in asked:
        raise ValueError(f"VSR prompt {prompt!r} has no {{caption}}: say where the caption goes.")


def _sample(folder: Path, split: str, row: Entry, prompt: str) -> Sample:
    image = PurePosixPath(row.text("image"))
    if image.is_absolute() or ".." in image.parts:
        raise row.refuse(f"image is {str(image)!r}, expected the name of a file in images/")
    return Sample(
        dataset=f"vsr-{split}",
        external_id=f"{split}:{row.place.removeprefix('line ')}",
        image=folder / "images" / image,
        question=prompt.format(caption=row.text("caption")),
        answer="yes" if row.one_of("label", 0, 1) == 1 else "no",
        question_type="statement",
        answer_type="yes/no",
        relation=row.text("relation").strip(),
    )
