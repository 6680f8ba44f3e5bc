"""Add a measurement to a published run: another skill, new labels. Nothing that is there changes.

    add_folder(folder, engine)                        a folder with a manifest
    add_measurement(engine, run_id, entry, rows)      rows at hand, as Arrow tables

The rows pass the loader's own verification and join the run in one transaction: readers see all of
them or none. The new row of `measurement` says so: its `added_at` is when it joined (the database
sets it). A second time is a no-op. Part of the loader; `addition_folder.py` is about the folder.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, cast

import psycopg
import pyarrow as pa
from psycopg import sql
from sqlalchemy import Engine

from feature_atlas.etl.run_folder.manifest import DatasetEntry, Manifest, MeasurementEntry
from feature_atlas.etl.run_folder.run_files import verify_files
from feature_atlas.etl.run_folder.table_rows import WHAT
from feature_atlas.etl.warehouse.addition_folder import (
    ADDABLE,
    empty_addition,
    read_addition,
    write_addition,
)
from feature_atlas.etl.warehouse.database_errors import plain_database_errors
from feature_atlas.etl.warehouse.feature_record import refresh_record
from feature_atlas.etl.warehouse.loader_lock import loader_lock
from feature_atlas.etl.warehouse.progress import silent
from feature_atlas.etl.warehouse.publish import move_rows, move_samples
from feature_atlas.etl.warehouse.registry import registry_ids
from feature_atlas.etl.warehouse.runs import resolve_run
from feature_atlas.etl.warehouse.staged_rows import copy_rows
from feature_atlas.etl.warehouse.staging import (
    Connection,
    Load,
    create_staged,
    drop_staging,
    in_atlas,
)
from feature_atlas.etl.warehouse.verification import verify_rows

log = logging.getLogger(__name__)

BY_SKILL = ("sample_skill", "firing_shift", "candidate", "neutral_prompt")


class AdditionReport(NamedTuple):
    """What an addition did."""

    status: str
    """'added', or 'already there' when there was nothing to do."""
    slug: str
    """The run."""
    run_id: int
    """The run in the database."""
    stages: list[str]
    """Stages of the measurements that joined it."""
    rows: dict[str, int]
    """Rows added by table; empty when there was nothing to do."""


def add_measurement(
    engine: Engine,
    run_id: int,
    entry: MeasurementEntry,
    rows: Mapping[str, pa.Table],
    datasets: Sequence[DatasetEntry] = (),
) -> AdditionReport:
    """Add one measurement with its rows by table, in the columns that a run folder has.

    A run folder's columns are the table's without ids: `etl.table_rows.expected_columns`. The
    rows' places come by `layer` and `feature`; `skill` is a word. Rows that name samples need
    tables `image` and `sample` among ``rows``, and their ``datasets``. ``entry.stage`` and
    ``entry.params_hash`` tell the measurement from those that the run has; the same two again with
    the same ``input_fingerprint`` is a no-op, with another one an error.
    """
    with engine.connect() as pooled:
        run = empty_addition(cast(Connection, pooled.connection.driver_connection), run_id)
    with TemporaryDirectory(prefix="atlas-addition-") as made:
        folder = write_addition(Path(made) / run.slug, run, entry, rows, datasets)
        return add_folder(folder, engine)


def add_to_run(engine: Engine, named: str, folder: Path, *, wait: bool = False) -> AdditionReport:
    """Add what a folder holds to a run that somebody named, if it is the one the folder is for."""
    manifest = read_addition(folder)
    with engine.connect() as connection:
        run = resolve_run(connection, named)
    if run.config_hash != manifest.adds_to:
        raise ValueError(
            f"{folder / 'manifest.json'} adds to the run with config_hash {manifest.adds_to}, "
            f"not to {run.slug}, which has {run.config_hash}."
        )
    return add_folder(folder, engine, wait=wait)


def add_folder(folder: Path, engine: Engine, *, wait: bool = False) -> AdditionReport:
    """Add what a folder holds to the run that it names. Doing it again changes nothing.

    ``wait``: when another process loads or changes the run, wait for it instead of refusing.
    """
    manifest = read_addition(folder)
    with engine.connect() as pooled:
        connection = cast(Connection, pooled.connection.driver_connection)
        run_id, slug = _published_run(connection, folder, manifest)
        hash_ = str(manifest.adds_to)
        with (
            plain_database_errors(f"the addition to {slug}"),
            loader_lock(connection, hash_, slug, wait=wait),
        ):
            new = _new_part(connection, folder, manifest, run_id)
            if not new.measurements:
                return AdditionReport("already there", slug, run_id, [], {})
            _verify(folder, new)
            rows = _add(Load(folder, new, connection, silent, run_id))
    return AdditionReport("added", slug, run_id, [m.stage for m in new.measurements], rows)


def _published_run(connection: Connection, folder: Path, manifest: Manifest) -> tuple[int, str]:
    """Id and slug of the run that the folder adds to; it must be one that readers can see."""
    found = connection.execute(RUN, (manifest.adds_to,)).fetchone()
    connection.commit()
    path = folder / "manifest.json"
    if found is None:
        raise ValueError(
            f"{path} adds to the run with config_hash {manifest.adds_to}, which is not in this "
            "atlas. Load that run first; `feature-atlas runs` lists what there is."
        )
    run_id, slug, state, vlm, sae_set, layers, d_sae = found
    if state not in ("published", "superseded"):
        raise ValueError(f"{path} adds to run {slug}, which is {state}: publish it first.")
    expected = (vlm, sae_set, layers, d_sae)
    saes = manifest.sae_set
    came = (manifest.vlm.fingerprint, saes.fingerprint, saes.layers, saes.d_sae)
    if came != expected:
        raise ValueError(
            f"{path} measured another model or other SAEs than run {slug}: fingerprints, layers "
            f"and d_sae are {came}, expected {expected}. Another SAE is a new run."
        )
    return run_id, slug


def _new_part(connection: Connection, folder: Path, manifest: Manifest, run_id: int) -> Manifest:
    """What the run does not have yet; an error where it has the same with other inputs."""
    known = {(stage, params): read for stage, params, read in connection.execute(HAS, (run_id,))}
    connection.commit()
    new = [m for m in manifest.measurements if (m.stage, m.params_hash) not in known]
    for entry in manifest.measurements:
        read = known.get((entry.stage, entry.params_hash), entry.input_fingerprint)
        if read != entry.input_fingerprint:
            raise ValueError(
                f"{folder / 'manifest.json'}: the run has a measurement {entry.stage} with these "
                f"params already, from other inputs ({read[:12]}, not "
                f"{entry.input_fingerprint[:12]}). It never changes: give the new one params that "
                "tell the two apart, or build a new run."
            )
    stages = {entry.stage for entry in new}
    files = [f for f in manifest.files if f.stage in stages or (new and f.table in WHAT)]
    return manifest.model_copy(update={"measurements": new, "files": files})


def _verify(folder: Path, manifest: Manifest) -> None:
    for _ in verify_files(folder, manifest):
        pass
    tables = [table for table in ADDABLE if table in manifest.tables]
    verify_rows(folder, manifest, (*WHAT, *tables))


def _add(load: Load) -> dict[str, int]:
    """Stage, then join the run in one transaction; what is staged goes, whatever happens."""
    tables = [*WHAT, *(table for table in ADDABLE if table in load.manifest.tables)]
    connection = load.connection
    try:
        with connection.transaction():  # committed: what a crash of the server leaves has a name
            drop_staging(connection, load.run_id)
            for table in tables:
                create_staged(load, table)
        with connection.transaction():
            rows = _join(load, tables)
    except psycopg.errors.UniqueViolation as error:
        raise ValueError(
            f"{load.folder}: run {load.manifest.slug} has such a row already: "
            f"{error.diag.table_name}, {error.diag.message_detail} Nothing was added."
        ) from None
    finally:
        _clean_up(load)
    with connection.transaction():
        for table in tables:
            load.run("ANALYZE {}", in_atlas(table))
    return rows


def _clean_up(load: Load) -> None:
    """The first error is the one to report; what is left has no rows that readers see."""
    try:
        with load.connection.transaction():
            drop_staging(load.connection, load.run_id)
    except psycopg.Error:
        log.warning("could not clean up after an addition to run %s; the next does", load.run_id)


def _join(load: Load, tables: list[str]) -> dict[str, int]:
    ids = registry_ids(load)
    rows = {table: n for table, n in copy_rows(load, ids).items() if n}
    _refuse_known_skills(load, tables)
    move_samples(load)
    for table in tables:
        if table not in WHAT:
            move_rows(load, table)
    if {"firing_shift", "candidate"} & set(tables):
        refresh_record(load, ids)
    return rows


def _refuse_known_skills(load: Load, tables: list[str]) -> None:
    """Of a skill that the run has measured, nothing is added: its published result would change."""
    for table in BY_SKILL:
        if table not in tables:
            continue
        query = sql.SQL(TWICE).format(staged=load.staged(table), table=in_atlas(table))
        twice = load.connection.execute(query, {"run": load.run_id}).fetchone()
        if twice is not None:
            raise ValueError(
                f"{load.folder}: run {load.manifest.slug} has {table} of skill {twice[0]} already, "
                "and what is published never changes. Nothing was added; build a new run."
            )


RUN = """
SELECT run.id, run.slug, run.state, vlm.fingerprint, sae_set.fingerprint, sae_set.layers, run.d_sae
FROM atlas.run JOIN atlas.vlm ON vlm.id = run.vlm_id
JOIN atlas.sae_set ON sae_set.id = run.sae_set_id
WHERE run.config_hash = %s
"""

HAS = "SELECT stage, params_hash, input_fingerprint FROM atlas.measurement WHERE run_id = %s"

TWICE = """
SELECT name FROM atlas.skill
WHERE EXISTS (SELECT FROM {staged} WHERE skill_id = skill.id)
  AND EXISTS (SELECT FROM {table} WHERE run_id = %(run)s AND skill_id = skill.id)
"""
