"""A published run as an edition: a folder to hand on, which needs no server and no atlas.

<folder>/<slug>.duckdb            the schema atlas with the rows of the run
<folder>/parquet/<table>.parquet  the same tables, a file each
<folder>/survivors.html           the features that survived, on a page
<folder>/CITATION.cff             how to cite it
<folder>/croissant.json           what is in it, for ML tools
<folder>/README.md
<folder>/manifest.json            where it comes from; rows, bytes and sha256 of every file
"""

from pathlib import Path
from typing import NamedTuple

import duckdb
from sqlalchemy import Engine

from feature_atlas.etl.bridges.edition.credit import Credit, title, write_citation
from feature_atlas.etl.bridges.edition.croissant import write_croissant
from feature_atlas.etl.bridges.edition.database_file import (
    fill_table,
    is_table,
    make_views,
    new_database,
    write_parquet,
)
from feature_atlas.etl.bridges.edition.file_list import listed_files, write_manifest
from feature_atlas.etl.bridges.edition.relations import Relation, relations, rows_of_run
from feature_atlas.etl.bridges.edition.survivors_page import write_survivors
from feature_atlas.etl.bridges.export_rows import open_rows
from feature_atlas.etl.bridges.export_target import new_folder
from feature_atlas.etl.bridges.exported_manifest import dataset_entries
from feature_atlas.etl.bridges.exported_run import ExportedRun, open_exported
from feature_atlas.etl.run_folder.manifest import DatasetEntry
from feature_atlas.etl.warehouse.progress import Progress, silent
from feature_atlas.etl.warehouse.staging import Connection


class Edition(NamedTuple):
    """What an export wrote."""

    folder: Path
    rows: dict[str, int]
    """Rows by table."""


def export_edition(
    engine: Engine,
    named: str,
    target: Path | None = None,
    said: Credit | None = None,
    progress: Progress = silent,
) -> Edition:
    """Write a published run into a new folder, by default atlas-<slug>."""
    with open_exported(engine, named) as (connection, run):
        target = target or Path(f"atlas-{run.slug}")
        with new_folder(target) as folder:
            rows = _write(connection, run, folder, said or Credit(), progress)
    return Edition(target, rows)


def _write(
    connection: Connection, run: ExportedRun, folder: Path, said: Credit, progress: Progress
) -> dict[str, int]:
    found, datasets = relations(connection), dataset_entries(connection, run.id)
    tables = [relation for relation in found if is_table(relation)]
    with new_database(folder / f"{run.slug}.duckdb") as database:
        rows = _write_tables(connection, database, folder, tables, run, datasets, progress)
        make_views(database, found)
        write_survivors(database, folder, run, said)
    _write_readme(folder, run, said, datasets)
    write_citation(folder, run, said)
    write_croissant(folder, run, said, tables, listed_files(folder, run, rows))
    files = listed_files(folder, run, rows)
    write_manifest(folder, connection, run, said, datasets, files)
    return rows


def _write_tables(
    connection: Connection,
    database: duckdb.DuckDBPyConnection,
    folder: Path,
    tables: list[Relation],
    run: ExportedRun,
    datasets: list[DatasetEntry],
    progress: Progress,
) -> dict[str, int]:
    """Every table into the database file and into a file of its own; rows by table."""
    values = {"run": run.id, "datasets": [entry.key for entry in datasets]}
    connection.execute("SET LOCAL cursor_tuple_fraction = 1")  # every row is read, not the first
    (folder / "parquet").mkdir()
    n_rows = {}
    for number, table in enumerate(tables, start=1):
        with open_rows(connection, rows_of_run(table), values) as rows:
            n_rows[table.name] = fill_table(database, table, rows)
        write_parquet(database, table, folder / "parquet" / f"{table.name}.parquet")
        progress("tables", number, len(tables))
    return n_rows


def _write_readme(
    folder: Path, run: ExportedRun, said: Credit, datasets: list[DatasetEntry]
) -> None:
    text = README.format(
        title=title(run),
        slug=run.slug,
        licence=said.licence,
        url=said.licence_url,
        datasets=", ".join(sorted({f"{entry.name} ({entry.split})" for entry in datasets})),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


README = """# {title}

An edition of a feature atlas: one run, as it was published, in files that need no server.

    duckdb -readonly {slug}.duckdb "SELECT layer, feature, label FROM atlas.spatial"

| file | what it is |
|---|---|
| `{slug}.duckdb` | schema `atlas`: tables and views, with comments (`duckdb_columns()`) |
| `parquet/` | the same tables, a file each |
| `survivors.html` | the features that survived, on a page that opens from the disk |
| `manifest.json` | where it comes from; rows, bytes and sha256 of every file |
| `croissant.json`, `CITATION.cff` | the same for ML tools; how to cite it |

Licence of the data: [{licence}]({url}). Questions and answers in it are of the data sets
{datasets}, under licences of their own; pictures are not here, `image.uri` says which they were.
"""
