"""A whole run as one folder, from the database alone: another atlas ingests it.

    <folder>/manifest.json                      as a build leaves it
    <folder>/<stage>/<table>.0.parquet          rows by the measurement that they belong to
    <folder>/additions/<n>-<stage>/...          measurements that joined the run later
    <folder>/review.parquet                     what people said; ingest leaves it alone
    <folder>/README.md

Facts, questions and pictures (as thumbnails) are in the database; SAE weights are not, so they are
not here either: `feature-atlas export saes` takes them from the folder of the build.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from psycopg import sql
from sqlalchemy import Engine

from feature_atlas.etl.bridges.export_rows import open_rows
from feature_atlas.etl.bridges.export_target import new_folder
from feature_atlas.etl.bridges.exported_manifest import (
    Measured,
    addition_manifest,
    dataset_entries,
    measured,
    run_manifest,
)
from feature_atlas.etl.bridges.exported_run import ExportedRun, open_exported
from feature_atlas.etl.run_folder.artifacts import file_sha256
from feature_atlas.etl.run_folder.manifest import FileEntry, Manifest
from feature_atlas.etl.run_folder.table_rows import expected_columns, table_of
from feature_atlas.etl.warehouse.staging import Connection, in_atlas
from feature_atlas.models.notation.arrow_rows import write_parquet

README = """# Run {slug}

Written by `feature-atlas export run` from the database of a feature atlas. Load it into another:

    feature-atlas ingest {slug}

Every fact, question and picture (as a thumbnail) of the run is here. SAE weights are not: the
database does not hold them (`feature-atlas export saes` takes them from the folder of the build).
`review.parquet` is what people said of the descriptions; `ingest` leaves it alone.
"""


class RunFolder(NamedTuple):
    """What an export wrote."""

    folder: Path
    rows: dict[str, int]
    """Rows by table."""
    n_added: int
    """Measurements that joined the run after its publication."""


def export_run(engine: Engine, named: str, target: Path) -> RunFolder:
    """Write a published run into a new folder that another atlas ingests."""
    with open_exported(engine, named) as (connection, run), new_folder(target) as folder:
        made = measured(connection, run.id)
        files = _write_run(connection, run, [one for one in made if not one.is_added], folder)
        added = [one for one in made if one.is_added]
        for number, one in enumerate(added, start=1):
            place = folder / "additions" / f"{number}-{_folder_name(one)}"
            files += _write_addition(connection, run, one, place)
    rows: Counter[str] = Counter()
    for file in files:
        if file.table is not None:
            rows[file.table] += file.rows
    return RunFolder(target, dict(sorted(rows.items())), len(added))


def _write_run(
    connection: Connection, run: ExportedRun, made: list[Measured], folder: Path
) -> list[FileEntry]:
    files = _write_what(connection, run, folder)
    for one in made:
        files += _write_facts(connection, one, folder)
    files += [_write_reviews(connection, run, folder), _write_readme(run, folder)]
    _write_manifest(run_manifest(connection, run, made, files), folder)
    return files


def _write_addition(
    connection: Connection, run: ExportedRun, made: Measured, folder: Path
) -> list[FileEntry]:
    """One measurement by itself; with the questions, if its rows name some."""
    files = _write_facts(connection, made, folder)
    names_samples = any("sample" in expected_columns(table_of(table)) for table in made.tables)
    what = _write_what(connection, run, folder) if names_samples else []
    _write_manifest(addition_manifest(connection, run, made, what + files), folder)
    return files


def _folder_name(made: Measured) -> str:
    """The stage, if it can be the name of a folder: it is a text that somebody's manifest gave."""
    stage = made.entry.stage
    return stage if re.fullmatch(r"[A-Za-z0-9][\w-]{0,99}", stage) else f"stage-{made.id}"


def _write_manifest(manifest: Manifest, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=1), encoding="utf-8")


def _write_what(connection: Connection, run: ExportedRun, folder: Path) -> list[FileEntry]:
    """Questions and pictures of the datasets that the run used."""
    values = {"datasets": [entry.key for entry in dataset_entries(connection, run.id)]}
    return [
        _write_table(connection, folder, f"samples/{table}", "samples", condition, values)
        for table, condition in (("image", OF_IMAGE), ("sample", OF_SAMPLE))
    ]


def _write_facts(connection: Connection, made: Measured, folder: Path) -> list[FileEntry]:
    """The rows of one measurement, a file for each table that has some."""
    values = {"run": made.run_id, "measurement": made.id}
    stage = made.entry.stage
    return [
        _write_table(
            connection, folder, f"{_folder_name(made)}/{table}", stage, OF_MEASUREMENT, values
        )
        for table in made.tables
    ]


def _write_table(
    connection: Connection,
    folder: Path,
    place: str,
    stage: str,
    condition: sql.SQL,
    values: dict[str, Any],
) -> FileEntry:
    """Rows of one table as one file of a stage; the place ends in the table's name."""
    path, table = folder / f"{place}.0.parquet", place.rpartition("/")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_rows(connection, _select(table, condition), values) as rows:
        n_rows = write_parquet(path, *rows)
        columns = {field.name: str(field.type) for field in rows.schema}
    return _entry(folder, path, stage, table=table, rows=n_rows, columns=columns)


def _select(table: str, condition: sql.SQL) -> sql.Composed:
    """Rows as run folders have them: words for regimes and skills, no ids of the run's own."""
    fields = expected_columns(table_of(table))
    words = [word for word in ("regime", "skill") if word in fields]
    chosen = [
        sql.SQL("{} AS {}").format(
            sql.Identifier(*((field, "name") if field in words else ("fact", column.name))),
            sql.Identifier(field),
        )
        for field, column in fields.items()
    ]
    joins = [
        sql.SQL("JOIN {} ON {} = {}").format(
            in_atlas(word), sql.Identifier(word, "id"), sql.Identifier("fact", f"{word}_id")
        )
        for word in words
    ]
    order = [sql.Identifier("fact", column.name) for column in table_of(table).primary_key]
    return sql.SQL("SELECT {} FROM {} AS fact {} WHERE {} ORDER BY {}").format(
        sql.SQL(", ").join(chosen),
        in_atlas(table),
        sql.SQL(" ").join(joins),
        condition,
        sql.SQL(", ").join(order),
    )


def _write_reviews(connection: Connection, run: ExportedRun, folder: Path) -> FileEntry:
    with open_rows(connection, REVIEWS, {"run": run.id}) as rows:
        write_parquet(folder / "review.parquet", *rows)
    return _entry(folder, folder / "review.parquet", "review")


def _write_readme(run: ExportedRun, folder: Path) -> FileEntry:
    (folder / "README.md").write_text(README.format(slug=run.slug), encoding="utf-8")
    return _entry(folder, folder / "README.md", "readme")


def _entry(folder: Path, path: Path, stage: str, **rows: Any) -> FileEntry:
    return FileEntry(
        path=path.relative_to(folder).as_posix(),
        stage=stage,
        bytes=path.stat().st_size,
        sha256=file_sha256(path),
        **rows,
    )


OF_SAMPLE = sql.SQL("fact.dataset_id = ANY (%(datasets)s)")
OF_IMAGE = sql.SQL(
    "fact.id IN (SELECT image_id FROM atlas.sample WHERE dataset_id = ANY (%(datasets)s))"
)
OF_MEASUREMENT = sql.SQL("fact.run_id = %(run)s AND fact.measurement_id = %(measurement)s")

REVIEWS = """
    SELECT layer, feature, verdict, description, note, judged, reviewer, created_at
    FROM atlas.review WHERE run_id = %(run)s ORDER BY id
"""
