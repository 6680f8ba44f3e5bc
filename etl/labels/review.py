"""What people say of descriptions. Rows are only ever added; the newest of a feature counts (5.1).

    accept    the label that the reviewer saw stays, whatever is described later
    edit      the reviewer's own words become the label
    reject    the feature has no label

Whole or not at all: one bad judgement, and none is written.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text

from feature_atlas.etl.run_folder.storable_text import fault_of
from feature_atlas.etl.warehouse.runs import RunName, resolve_run
from feature_atlas.models import Review
from feature_atlas.models.columns import Bounds

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


class Reviewed(NamedTuple):
    """What became of some judgements."""

    slug: str
    """The run."""
    n_new: int
    """Judgements that were written."""
    n_same: int
    """Those that say what their reviewer's newest says already."""


def read_place(named: str) -> tuple[int, int]:
    """Layer and feature of "2/38"."""
    layer, slash, feature = named.partition("/")
    if not (
        slash and layer.isascii() and layer.isdigit() and feature.isascii() and feature.isdigit()
    ):
        raise ValueError(f"{named!r} names no feature: expected LAYER/FEATURE, e.g. 2/38.")
    return int(layer), int(feature)


def label_now(engine: Engine, run: str | None, layer: int, feature: int) -> str | None:
    """The label that readers see of a feature."""
    with engine.connect() as connection:
        values = {"run": reviewed_run(connection, run).id, "layer": layer, "feature": feature}
        label: str | None = connection.scalar(text(LABEL), values)
        return label


def reviewed_run(connection: Connection, named: str | None) -> RunName:
    """The run of this name; without one, the one that readers see."""
    if named is None:
        named = connection.scalar(text("SELECT id::text FROM atlas.current_run"))
        if named is None:
            raise ValueError("no run is published: there is nothing to review.")
    run = resolve_run(connection, named)
    if run.state not in ("published", "superseded"):
        raise ValueError(f"run {run.slug} is {run.state}: only published runs are reviewed.")
    return run


def add_reviews(engine: Engine, named: str | None, judgements: Sequence[Judgement]) -> Reviewed:
    """Write judgements of one run's features that are not their reviewer's newest already."""
    with engine.begin() as connection:
        run = reviewed_run(connection, named)
        extent = connection.execute(text(EXTENT), {"run": run.id}).one()
        for one in judgements:
            _require_legal(one, list(extent.layers), extent.d_sae, run.slug)
        new = [one for one in judgements if not _is_known(connection, run.id, one)]
        for one in new:
            connection.execute(text(ADD), {"run": run.id, **_values(one)})
    return Reviewed(run.slug, len(new), len(judgements) - len(new))


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


LABEL = """
SELECT label FROM atlas.feature_label
WHERE run_id = :run AND layer = :layer AND feature = :feature
"""

EXTENT = """
SELECT sae_set.layers, run.d_sae FROM atlas.run
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
