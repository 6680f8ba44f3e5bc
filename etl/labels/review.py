"""Reviews of a run's labels by whoever works at the command line (5.1)."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from feature_atlas.etl.warehouse.runs import RunName, resolve_run
from feature_atlas.models.meaning.judgement import Judgement, add_judgements


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
        n_new = add_judgements(connection, run.id, judgements)
    return Reviewed(run.slug, n_new, len(judgements) - n_new)


LABEL = """
SELECT label FROM atlas.feature_label
WHERE run_id = :run AND layer = :layer AND feature = :feature
"""
