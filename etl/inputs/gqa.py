"""Reader of GQA's spatial yes/no questions in its official files (Hudson & Manning 2019).

Files: ``val_balanced_questions.json`` (an object of questions by their ids) and
``images/{imageId}.jpg``. A question comes with its program, ``semantic``, a list of steps. It is
spatial here where ``types.semantic`` is ``rel`` and the last step that relates two objects names a
relation of SPATIAL: GQA's relations are also wearing, holding or eating. It is taken where it is
answered yes or no, since that is what removals are scored on.

    {"operation": "relate", "argument": "cart,near,s (1039872)", "dependencies": [0]}
"""

from pathlib import Path

from feature_atlas.etl.inputs.json_entries import Entry, read_named
from feature_atlas.etl.inputs.samples import Sample

DATASET = "gqa-val"
FILE = "val_balanced_questions.json"
"""The questions that GQA is scored on, of the split whose answers and programs are public and on
which models are seldom trained."""

SPATIAL = {
    "to the left of": "left of",
    "to the right of": "right of",
    **dict.fromkeys(("above", "over"), "above"),
    **dict.fromkeys(("below", "under", "underneath", "beneath"), "under"),
    **dict.fromkeys(("on", "on top of", "standing on", "sitting on", "lying on"), "on"),
    **dict.fromkeys(("in", "inside", "sitting in", "standing in"), "in"),
    **dict.fromkeys(("near", "by", "beside", "next to", "close to", "standing near"), "near"),
    "in front of": "in front of",
    "behind": "behind",
    "between": "between",
    "around": "around",
    "surrounding": "around",
}
"""GQA's spatial relations, and what the atlas calls them."""

RELATING = ("relate", "verify rel", "choose rel")


def read_gqa(folder: Path) -> list[Sample]:
    """The spatial questions that are answered yes or no, in file order."""
    file = folder / FILE
    found = [
        sample
        for number, row in read_named(file, f"GQA's official {FILE}").items()
        if (sample := _sample(folder, number, row)) is not None
    ]
    if not found:
        raise ValueError(
            f"{file} has no spatial question that is answered yes or no: expected GQA's official "
            f"{FILE}."
        )
    return found


def _sample(folder: Path, number: str, row: Entry) -> Sample | None:
    image, question, answer = (row.text(name) for name in ("imageId", "question", "answer"))
    types = row.inner("types")
    kind, structure = types.text("semantic"), types.text("structural")
    if not image.isalnum():
        raise row.refuse(f"imageId is {image!r}, expected letters and digits")
    relation = _relation(row) if kind == "rel" and answer in ("yes", "no") else None
    if relation is None:
        return None
    return Sample(
        dataset=DATASET,
        external_id=number,
        image=folder / "images" / f"{image}.jpg",
        question=question.strip(),
        answer=answer,
        question_type=structure,
        answer_type="yes/no",
        relation=relation,
    )


def _relation(row: Entry) -> str | None:
    """The spatial relation of the last step that relates two objects; None: it is another one."""
    steps = [step for step in row.objects("semantic") if step.text("operation") in RELATING]
    if not steps:
        return None
    parts = steps[-1].text("argument").rsplit(",", 2)  # a name may hold a comma
    if len(parts) != 3:
        raise steps[-1].refuse(
            f"argument is {steps[-1].value['argument']!r}, expected object, relation and side"
        )
    return SPATIAL.get(parts[1].strip())
