"""What a run folder says of itself, from the rows of the database.

Entries of a manifest have the fields of their tables, so each is one row read by its names.
"""

from typing import Any, NamedTuple, TypeVar

from psycopg import sql
from psycopg.rows import dict_row

from feature_atlas.etl.bridges.exported_run import ExportedRun
from feature_atlas.etl.run_folder.manifest import (
    DatasetEntry,
    Entry,
    FileEntry,
    Manifest,
    MeasurementEntry,
)
from feature_atlas.etl.run_folder.table_rows import DENSE, SPARSE
from feature_atlas.etl.warehouse.addition_folder import empty_addition
from feature_atlas.etl.warehouse.staging import Connection, in_atlas

Kind = TypeVar("Kind", bound=Entry)


class Measured(NamedTuple):
    """One measurement of a run."""

    run_id: int
    id: int
    """Its number in the database."""
    is_added: bool
    """Whether it joined the run after its publication."""
    code_version: str
    """Git commit, or version of the package."""
    dirty: bool
    """Whether the code had uncommitted changes."""
    entry: MeasurementEntry
    """What a manifest says of it."""
    tables: list[str]
    """Tables that hold rows of it."""


def run_manifest(
    connection: Connection, run: ExportedRun, made: list[Measured], files: list[FileEntry]
) -> Manifest:
    """The manifest of a run with the measurements of its first publication."""
    row = _rows(connection, "run", "id", run.id)[0]
    return empty_addition(connection, run.id).model_copy(
        update={
            "adds_to": None,
            "exported_checksum": row["checksum"],
            "code_version": row["code_version"],
            "dirty": row["dirty"],
            "datasets": dataset_entries(connection, run.id),
            "measurements": [one.entry for one in made],
            "files": files,
        }
    )


def addition_manifest(
    connection: Connection, run: ExportedRun, made: Measured, files: list[FileEntry]
) -> Manifest:
    """The manifest of a measurement that joined the run later."""
    return empty_addition(connection, run.id).model_copy(
        update={
            "code_version": made.code_version,
            "dirty": made.dirty,
            "datasets": dataset_entries(connection, run.id),
            "measurements": [made.entry],
            "files": files,
        }
    )


def dataset_entries(connection: Connection, run_id: int) -> list[DatasetEntry]:
    """Datasets that the run read or that its facts refer to; their key is the database's id."""
    found = connection.execute(DATASETS, {"run": run_id}).fetchall()
    return [
        _entry(DatasetEntry, {"key": number, **_rows(connection, "dataset", "id", number)[0]})
        for (number,) in found
    ]


def measured(connection: Connection, run_id: int) -> list[Measured]:
    """The run's measurements in the order in which they came."""
    holding = {table: _measurements_in(connection, table, run_id) for table in (*SPARSE, *DENSE)}
    return [
        Measured(
            run_id,
            row["id"],
            row["added_at"] is not None,
            row["code_version"],
            row["dirty"],
            _entry(MeasurementEntry, row),
            [table for table, numbers in holding.items() if row["id"] in numbers],
        )
        for row in _rows(connection, "measurement", "run_id", run_id)
    ]


def _measurements_in(connection: Connection, table: str, run_id: int) -> set[int]:
    query = sql.SQL("SELECT DISTINCT measurement_id FROM {} WHERE run_id = %s")
    return {n for (n,) in connection.execute(query.format(in_atlas(table)), (run_id,))}


def _entry(kind: type[Kind], row: dict[str, Any]) -> Kind:
    return kind.model_validate({name: row[name] for name in kind.model_fields})


def _rows(connection: Connection, table: str, column: str, number: int) -> list[dict[str, Any]]:
    """Rows of the registry by name."""
    query = sql.SQL("SELECT * FROM {} WHERE {} = %s ORDER BY id").format(
        in_atlas(table), sql.Identifier(column)
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, (number,)).fetchall()


DATASETS = """
    SELECT dataset.id FROM atlas.dataset
    JOIN atlas.measurement ON measurement.run_id = %(run)s
    JOIN jsonb_each_text(measurement.inputs) AS input (name, fingerprint)
        ON dataset.name = input.name AND dataset.fingerprint = input.fingerprint
    UNION
    SELECT dataset_id FROM atlas.sample
    WHERE id IN (
        SELECT sample_id FROM atlas.example WHERE run_id = %(run)s
        UNION SELECT sample_id FROM atlas.overlay WHERE run_id = %(run)s
        UNION SELECT sample_id FROM atlas.sample_skill WHERE run_id = %(run)s
        UNION SELECT sample_id FROM atlas.ablation_outcome WHERE run_id = %(run)s
    )
    ORDER BY 1
"""
