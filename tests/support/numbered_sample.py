"""Samples that differ in number, relation and picture."""

from feature_atlas.meaning.interp_samples import Sample


def sample(number: int, relation: str | None = "above", image_id: int | None = None) -> Sample:
    """Number, relation and picture are told apart by the question."""
    return Sample(
        question=f"{number} {relation}?",
        answer="yes",
        tokens=(str(number), str(relation), "?"),
        activations=(0.0, 2.0, 0.1),
        image_id=number if image_id is None else image_id,
        relation=relation,
    )
