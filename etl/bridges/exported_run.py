"""The run that a bridge exports: a published one, seen as it is at one moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Engine

from feature_atlas.etl.bridges.export_rows import snapshot
from feature_atlas.etl.warehouse.runs import resolve_run
from feature_atlas.etl.warehouse.staging import Connection


class ExportedRun(NamedTuple):
    """What formats of others need to know of a run."""

    id: int
    """The run in the database."""
    slug: str
    """Its name; in other formats the name of its set of SAEs."""
    layers: list[int]
    """Layers that have an SAE."""
    d_sae: int
    """Features per layer."""
    vlm: str
    """The model studied."""
    n_layers: int
    """Decoder layers of the model."""
    d_model: int
    """Width of its residual stream."""
    release: str
    """The base SAEs."""
    hook_site: str
    """Where they read, e.g. resid_post."""
    published_at: str
    """When readers saw it as the published run, ISO 8601."""


@contextmanager
def open_exported(engine: Engine, named: str) -> Iterator[tuple[Connection, ExportedRun]]:
    """One moment of the database, and the published run of this slug or number in it."""
    with engine.connect() as connection:
        run = resolve_run(connection, named)
    if run.state not in ("published", "superseded"):
        raise ValueError(f"run {run.slug} is {run.state}, expected a published one.")
    with snapshot(engine) as moment:
        found = moment.execute(QUERY, (run.id,)).fetchone()
        if found is None:
            raise ValueError(f"run {run.slug} was dropped at this moment.")
        yield moment, ExportedRun(*found)


QUERY = """
    SELECT run.id, run.slug, sae_set.layers, run.d_sae, vlm.name, vlm.n_layers,
        vlm.d_model, sae_set.release, sae_set.hook_site,
        to_char(run.published_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
    FROM atlas.run JOIN atlas.vlm ON vlm.id = vlm_id JOIN atlas.sae_set ON sae_set.id = sae_set_id
    WHERE run.id = %s AND run.state IN ('published', 'superseded')
"""
