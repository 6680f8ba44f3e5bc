"""Load a run folder into the atlas and publish it: readers see all of it or nothing.

    verify    the manifest, every file, every value; a bad one names itself
    copy      into tables of the run's own, in the schema atlas_staging
    index     keys, and the CHECK that makes attaching them instant
    record    the wide row of every feature, built from those tables
    publish   one transaction: partitions are attached, other rows move over, the run is
              published, the one before it superseded

Tables are verified, copied and indexed two at a time, on two connections (`side_by_side`).

One loader at a time holds a run's lock. A killed one leaves only staging tables, which the next
load, of whatever run, drops. The only writer of facts: what it is made of (`registry`, `staging`,
`staged_rows`, `feature_record`, `publish`, `abandoned`) is called from here alone.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import psycopg
from sqlalchemy import Engine

from feature_atlas.etl.run_folder.manifest import Manifest, read_run_manifest
from feature_atlas.etl.run_folder.table_rows import DENSE, SPARSE, WHAT
from feature_atlas.etl.warehouse.database_errors import plain_database_errors
from feature_atlas.etl.warehouse.feature_record import build_record
from feature_atlas.etl.warehouse.loader_lock import loader_lock
from feature_atlas.etl.warehouse.progress import Progress, silent
from feature_atlas.etl.warehouse.publish import publish
from feature_atlas.etl.warehouse.registry import Found, Ids, find_run, open_run, registry_ids
from feature_atlas.etl.warehouse.staged_keys import index_tables
from feature_atlas.etl.warehouse.staged_rows import copy_rows
from feature_atlas.etl.warehouse.staging import Connection, Load, create_staged
from feature_atlas.etl.warehouse.staging_cleanup import clean_up_staging, fail_run
from feature_atlas.etl.warehouse.verification import Checked, verify

log = logging.getLogger(__name__)


class IngestReport(NamedTuple):
    """What a load did."""

    status: str
    """'published', or 'already published' when there was nothing to do."""
    slug: str
    """Name of the run."""
    run_id: int
    """The run in the database."""
    rows: dict[str, int]
    """Rows loaded by table; empty when there was nothing to do."""
    seconds: dict[str, float]
    """Time by step: verify, copy, index, record, publish."""
    checked: Checked
    """Files, tables and values that were verified; none when there was nothing to do."""


def ingest(
    folder: Path, engine: Engine, progress: Progress = silent, *, wait: bool = False
) -> IngestReport:
    """Load and publish a finished run folder. Doing it again changes nothing.

    ``wait``: when another process loads the same run, wait for it instead of refusing.
    """
    manifest = read_run_manifest(folder)
    with _connected(engine) as connection, plain_database_errors(manifest.slug):
        with loader_lock(connection, manifest.config_hash, manifest.slug, wait=wait):
            clean_up_staging(connection)
            found = find_run(connection, manifest)
            if found is not None and found.state in ("published", "superseded"):
                return _already_published(folder, manifest, found)
            seconds: dict[str, float] = {}
            with _timed(seconds, "verify"):
                checked = verify(folder, manifest, progress)
            with _connected(engine) as beside:
                run_id = open_run(connection, manifest)
                load = Load(folder, manifest, connection, progress, run_id, beside)
                rows = _load_or_undo(load, seconds)
    log.info("published %s: %s rows", manifest.slug, sum(rows.values()))
    return IngestReport("published", manifest.slug, run_id, rows, seconds, checked)


def _load_or_undo(load: Load, seconds: dict[str, float]) -> dict[str, int]:
    try:
        return _load(load, seconds)
    except BaseException:
        _give_up(load)
        raise


def _load(load: Load, seconds: dict[str, float]) -> dict[str, int]:
    """The steps after verification; returns the rows by table."""
    with _timed(seconds, "copy"):
        ids = _prepare(load)
        rows = copy_rows(load, ids)
    with _timed(seconds, "index"):
        index_tables(load)
    with _timed(seconds, "record"):
        rows["feature_record"] = build_record(load, ids)
    with _timed(seconds, "publish"):
        publish(load)
    return rows


def _already_published(folder: Path, manifest: Manifest, found: Found) -> IngestReport:
    """Nothing to do; but a folder with other numbers under the same name is an error."""
    if found.checksum != manifest.checksum():
        raise ValueError(
            f"{folder}: {manifest.slug} is {found.state} with other files (checksum "
            f"{found.checksum[:12]}..., the folder has {manifest.checksum()[:12]}...). A published "
            f"run never changes: drop it (`feature-atlas runs drop {manifest.slug}`) and ingest "
            "the folder, or build the folder as a run of another configuration."
        )
    status, nothing = "already published", Checked([], [])
    return IngestReport(status, manifest.slug, found.id, {}, {}, nothing)


def _prepare(load: Load) -> Ids:
    """Committed before any row: what a crash of the server leaves can then be dropped."""
    with load.connection.transaction():
        ids = registry_ids(load)
        for table in (*WHAT, *SPARSE, *DENSE, "feature_record"):
            create_staged(load, table)
    return ids


def _give_up(load: Load) -> None:
    """Leave no trace but the run marked as failed; the first error is the one to report."""
    try:
        load.connection.rollback()
        fail_run(load.connection, load.run_id)
    except psycopg.Error:
        log.warning("could not clean up after %s; the next load does", load.manifest.slug)


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    """The driver's own connection; one that was lost does not return to the pool."""
    with engine.connect() as pooled:
        connection = cast(Connection, pooled.connection.driver_connection)
        try:
            yield connection
        finally:
            if connection.closed:
                pooled.invalidate()


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - begin
