"""A published run as an edition: a folder to hand on, which needs no server and no atlas.

<folder>/<slug>.duckdb            the schema atlas with the rows of the run
<folder>/parquet/<table>.parquet  the same tables, a file each
"""

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from feature_atlas.etl.bridges.edition.database_file import (
    fill_table,
    is_table,
    make_views,
    new_database,
    write_parquet,
)
from feature_atlas.etl.bridges.edition.relations import relations, rows_of_run
from feature_atlas.etl.bridges.export_rows import open_rows
from feature_atlas.etl.bridges.export_target import new_folder
from feature_atlas.etl.bridges.exported_manifest import dataset_entries
from feature_atlas.etl.bridges.exported_run import ExportedRun, open_exported
from feature_atlas.etl.warehouse.progress import Progress, silent
from feature_atlas.etl.warehouse.staging import Connection


class Edition(NamedTuple):
    """What an export wrote."""

    folder: Path
    rows: dict[str, int]
    """Rows by table."""


def export_edition(
    engine: Engine, named: str, target: Path | None = None, progress: Progress = silent
) -> Edition:
    """Write a published run into a new folder, by default atlas-<slug>."""
    with open_exported(engine, named) as (connection, run):
        target = target or Path(f"atlas-{run.slug}")
        with new_folder(target) as folder:
            rows = _write_database(connection, run, folder, progress)
    return Edition(target, rows)


def _write_database(
    connection: Connection, run: ExportedRun, folder: Path, progress: Progress
) -> dict[str, int]:
    found = relations(connection)
    tables = [relation for relation in found if is_table(relation)]
    datasets = [entry.key for entry in dataset_entries(connection, run.id)]
    values = {"run": run.id, "datasets": datasets}
    connection.execute("SET LOCAL cursor_tuple_fraction = 1")  # every row is read, not the first
    n_rows = {}
    (folder / "parquet").mkdir()
    with new_database(folder / f"{run.slug}.duckdb") as database:
        for number, table in enumerate(tables):
            progress("tables", number, len(tables))
            with open_rows(connection, rows_of_run(table), values) as rows:
                n_rows[table.name] = fill_table(database, table, rows)
            write_parquet(database, table, folder / "parquet" / f"{table.name}.parquet")
        make_views(database, found)
        progress("tables", len(tables), len(tables))
    return n_rows
