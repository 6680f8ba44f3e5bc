"""Reader of What'sUp's controlled pictures in their official files (Kamath et al. 2023).

Files, as the release's folder ``data`` has them: ``controlled_images_dataset.json`` (set A: on,
under, left, right of a table or chair) and ``controlled_clevr_dataset.json`` (set B: in front of,
behind, left, right of one another), lists of ``image_path`` and four ``caption_options``, the first
the right one; pictures in ``controlled_images/`` and ``controlled_clevr/``.

Each picture makes two yes/no questions: its right caption, and the one that says the opposite. So
yes is right for half of them, and words alone cannot tell which.
"""

from pathlib import Path, PurePosixPath

from feature_atlas.etl.inputs.json_entries import Entry, read_list
from feature_atlas.etl.inputs.samples import Sample

DATASET = "whatsup-controlled"
FILES = {"a": "controlled_images_dataset.json", "b": "controlled_clevr_dataset.json"}

RELATIONS = {
    "left": "left of",
    "right": "right of",
    "on": "on",
    "under": "under",
    "front": "in front of",
    "behind": "behind",
}
"""Relations by the word of a caption that tells them."""

OPPOSITES = {
    "left of": "right of",
    "right of": "left of",
    "on": "under",
    "under": "on",
    "in front of": "behind",
    "behind": "in front of",
}


def read_whatsup(folder: Path, prompt: str) -> list[Sample]:
    """Two statements a picture of both sets; ``prompt`` is the template of VSR's captions."""
    return [
        sample
        for letter, name in FILES.items()
        for row in _rows(folder / name)
        for sample in _pair(folder, letter, row, prompt)
    ]


def _rows(file: Path) -> list[Entry]:
    expected = f"What'sUp's official {file.name}"
    rows = read_list(file, expected)
    if not rows:
        raise ValueError(f"{file} has no picture: expected {expected}.")
    return rows


def _pair(folder: Path, letter: str, row: Entry, prompt: str) -> list[Sample]:
    """The right caption and its opposite."""
    captions = row.texts("caption_options", 4)
    relations = _relations(row, captions)
    opposite = OPPOSITES[relations[0]]
    if opposite not in relations:
        raise row.refuse(f"caption_options lack {opposite!r}, the opposite of {relations[0]!r}")
    picture, number = _picture(folder, row), row.place.removeprefix("entry ")
    return [
        Sample(
            dataset=DATASET,
            external_id=f"{letter}:{number}:{place}",
            image=picture,
            question=prompt.format(caption=captions[place].strip()),
            answer="yes" if place == 0 else "no",
            question_type="statement",
            answer_type="yes/no",
            relation=relations[place],
        )
        for place in (0, relations.index(opposite))
    ]


def _relations(row: Entry, captions: list[str]) -> list[str]:
    """What each caption says of the same two objects: where they differ, one word tells."""
    words = [caption.casefold().split() for caption in captions]
    n_before = _n_alike(words)
    n_after = _n_alike([w[n_before:][::-1] for w in words])
    found = []
    for caption, said in zip(captions, words, strict=True):
        told = RELATIONS.keys() & set(said[n_before : len(said) - n_after])
        if len(told) != 1:
            raise row.refuse(
                f"caption {caption!r} has {sorted(told) or 'none'} of the words "
                f"{', '.join(RELATIONS)}, where the captions differ: expected one"
            )
        found.append(RELATIONS[told.pop()])
    if len(set(found)) < len(found):
        raise row.refuse(f"caption_options say {', '.join(found)}: expected each relation once")
    return found


def _n_alike(texts: list[list[str]]) -> int:
    """How many first words all texts share."""
    return next(
        (n for n, words in enumerate(zip(*texts, strict=False)) if len(set(words)) > 1),
        min(map(len, texts)),
    )


def _picture(folder: Path, row: Entry) -> Path:
    """The release's paths begin with the folder that these files lie in, ``data/``."""
    path = PurePosixPath(row.text("image_path"))
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise row.refuse(f"image_path is {str(path)!r}, expected the name of a file of the release")
    return folder / path.relative_to("data") if path.parts[0] == "data" else folder / path
