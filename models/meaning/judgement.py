"""A verdict on a label: what is legal, and how it joins the others (5.1).

    accept    the label that the reviewer saw stays, whatever is described later
    edit      the reviewer's own words become the label
    reject    the feature has no label

The command line and the pages write reviews, both through here. Rows are only ever added; the
newest of a feature counts.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from feature_atlas.models.columns import Bounds
from feature_atlas.models.meaning.review import Review
from feature_atlas.models.storable_text import fault_of

_BOUNDS: Bounds = Review.__table__.columns["verdict"].info["bounds"]
VERDICTS = _BOUNDS.values


class Judgement(NamedTuple):
    """One verdict of one person."""

    layer: int
    feature: int
    verdict: str
    """accept, edit or reject."""
    description: str | None
    """The reviewer's own, for edit only."""
    note: str | None
    """Why, if they say."""
    reviewer: str
    """Who."""
    judged: str | None
    """The label that they saw; None if there was none."""
    source: str = "the review"
    """Where it stands, for errors."""


def add_judgements(connection: Connection, run_id: int, judgements: Sequence[Judgement]) -> int:
    """Write those that are not their reviewer's newest already, all or none; how many."""
    extent = connection.execute(text(EXTENT), {"run": run_id}).one()
    for one in judgements:
        _require_legal(one, list(extent.layers), extent.d_sae, extent.slug)
    new = [one for one in judgements if not _is_known(connection, run_id, one)]
    for one in new:
        connection.execute(text(ADD), {"run": run_id, **_values(one)})
    return len(new)


def _values(one: Judgement) -> dict[str, Any]:
    return {name: value for name, value in one._asdict().items() if name != "source"}


def _require_legal(one: Judgement, layers: list[int], d_sae: int, slug: str) -> None:
    """Say what is wrong with a judgement."""
    wrong = None
    if one.layer not in layers:
        wrong = f"layer {one.layer} has no SAE; run {slug} has layers {layers}"
    elif not 0 <= one.feature < d_sae:
        wrong = f"feature is {one.feature}, expected 0 to {d_sae - 1}"
    elif one.verdict not in VERDICTS:
        wrong = f"verdict is {one.verdict!r}, expected one of {', '.join(VERDICTS)}"
    elif (one.verdict == "edit") != (one.description is not None):
        wrong = "a description of the reviewer's own goes with verdict edit, and only with it"
    elif one.verdict == "accept" and one.judged is None:
        wrong = "there is no label to accept; say `edit` with a description"
    elif not one.reviewer.strip():
        wrong = "the reviewer has no name"
    else:
        said = "".join(filter(None, (one.description, one.note, one.judged, one.reviewer)))
        wrong = fault_of(said)
    if wrong:
        raise ValueError(f"{one.source}: {wrong}. Nothing was written.")


def _is_known(connection: Connection, run_id: int, one: Judgement) -> bool:
    """Whether the reviewer's newest judgement of the feature says the same."""
    newest = connection.execute(text(NEWEST), {"run": run_id, **_values(one)}).one_or_none()
    return newest is not None and tuple(newest) == (one.verdict, one.description, one.note)


EXTENT = """
SELECT sae_set.layers, run.d_sae, run.slug FROM atlas.run
JOIN atlas.sae_set ON sae_set.id = run.sae_set_id WHERE run.id = :run
"""

NEWEST = """
SELECT verdict, description, note FROM atlas.review
WHERE run_id = :run AND layer = :layer AND feature = :feature AND reviewer = :reviewer
ORDER BY created_at DESC, id DESC LIMIT 1
"""

# clock_timestamp: two judgements of one transaction still have an order
ADD = """
INSERT INTO atlas.review
    (run_id, layer, feature, verdict, description, note, reviewer, judged, created_at)
VALUES (:run, :layer, :feature, :verdict, :description, :note, :reviewer, :judged,
    clock_timestamp())
"""
