"""Load a run folder into the atlas and publish it: readers see all of it or nothing.

    verify    the manifest, every file, every value; a bad one names itself
    copy      into tables of the run's own, in the schema atlas_staging
    index     keys, references and the CHECK that makes attaching them instant
    record    the wide row of every feature, built from those tables
    publish   one short transaction: dense tables become partitions, sparse rows move over,
              the run is published, the one before it superseded

A killed load leaves only staging tables, which the next load of the same run drops. The only
writer of the database: what it is made of (`registry`, `staging`, `staged_rows`, `feature_record`,
`publish`) is called from here alone.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import psycopg
from sqlalchemy import Engine

from feature_atlas.etl.feature_record import build_record
from feature_atlas.etl.manifest import Manifest, read_manifest, verify_files
from feature_atlas.etl.publish import publish
from feature_atlas.etl.registry import Ids, find_run, open_run, registry_ids
from feature_atlas.etl.staged_rows import copy_rows
from feature_atlas.etl.staging import (
    Connection,
    Load,
    Progress,
    create_staged,
    drop_staging,
    index_staged,
)
from feature_atlas.etl.table_rows import DENSE, SPARSE, WHAT
from feature_atlas.etl.verification import verify_tables

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


def ingest(folder: Path, engine: Engine, progress: Progress | None = None) -> IngestReport:
    """Load and publish a finished run folder. Doing it again changes nothing."""
    manifest = read_manifest(folder)
    with engine.connect() as pooled:
        connection = cast(Connection, pooled.connection.driver_connection)
        with _only_loader(connection, manifest):
            return _ingest(folder, manifest, connection, progress or _silent)


def _ingest(
    folder: Path, manifest: Manifest, connection: Connection, progress: Progress
) -> IngestReport:
    found = find_run(connection, manifest)
    if found is not None and found[1] in ("published", "superseded"):
        return IngestReport("already published", manifest.slug, found[0], {}, {})
    seconds: dict[str, float] = {}
    with _timed(seconds, "verify"):
        _verify(folder, manifest, progress)
    load = Load(folder, manifest, connection, progress, open_run(connection, manifest))
    try:
        rows = _load(load, seconds)
    except BaseException:
        _give_up(connection, load.run_id)
        raise
    log.info("published %s: %s rows", manifest.slug, sum(rows.values()))
    return IngestReport("published", manifest.slug, load.run_id, rows, seconds)


def _load(load: Load, seconds: dict[str, float]) -> dict[str, int]:
    """The steps after verification; returns the rows by table."""
    with _timed(seconds, "copy"):
        ids = _prepare(load)
        rows = copy_rows(load, ids)
    with _timed(seconds, "index"):
        _index(load)
    with _timed(seconds, "record"):
        rows["feature_record"] = build_record(load, ids)
    with _timed(seconds, "publish"):
        publish(load)
    return rows


def _verify(folder: Path, manifest: Manifest, progress: Progress) -> None:
    verify_files(folder, manifest)
    total, done = sum(file.rows for file in manifest.files), 0
    for n_rows in verify_tables(folder, manifest):
        done += n_rows
        progress("verify", done, total)


def _prepare(load: Load) -> Ids:
    """Committed before any row: what a crash of the server leaves can then be dropped."""
    with load.connection.transaction():
        ids = registry_ids(load)
        for table in (*WHAT, *SPARSE, *DENSE, "feature_record"):
            create_staged(load, table)
    return ids


def _index(load: Load) -> None:
    for number, table in enumerate(DENSE):
        index_staged(load, table)
        load.progress("index", number + 1, len(DENSE))


def _silent(step: str, done: int, total: int) -> None:
    """No progress wanted."""


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - begin


@contextmanager
def _only_loader(connection: Connection, manifest: Manifest) -> Iterator[None]:
    """Hold the run's lock; it goes when this process ends, however it ends."""
    key = int(manifest.config_hash[:15], 16)
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
    connection.commit()
    if row != (True,):
        raise RuntimeError(
            f"another process is loading {manifest.slug} at this moment. Wait until it ended; "
            "then this command finds the run published, or loads it."
        )
    try:
        yield
    finally:
        if not connection.closed:
            connection.rollback()
            connection.execute("SELECT pg_advisory_unlock(%s)", (key,))
            connection.commit()


def _give_up(connection: Connection, run_id: int) -> None:
    """Leave no trace but the run marked as failed; the first error is the one to report."""
    try:
        connection.rollback()
        with connection.transaction():
            drop_staging(connection, run_id)
            connection.execute("UPDATE atlas.run SET state = 'failed' WHERE id = %s", (run_id,))
    except psycopg.Error:
        log.warning("could not clean up after run %s; the next load does", run_id)
