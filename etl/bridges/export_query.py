"""Any query or table of the atlas as one file: Parquet, CSV, JSON or JSON lines by its suffix."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import psycopg
from sqlalchemy import Engine

from feature_atlas.etl.bridges.export_rows import Rows, rows_of, snapshot
from feature_atlas.etl.bridges.export_target import new_file
from feature_atlas.etl.warehouse.staging import Connection, in_atlas
from feature_atlas.models.base import SCHEMA
from feature_atlas.models.notation.arrow_rows import write_parquet
from feature_atlas.models.notation.csv_text import write_csv
from feature_atlas.models.notation.json_text import write_json, write_json_lines
from feature_atlas.models.user_sql import user_cursor


def export_query(engine: Engine, query: str, file: Path) -> int:
    """Write what one SELECT returns; the engine should be a reader's. Returns the rows."""
    write = _writer(file)
    with snapshot(engine) as connection:
        return _export(connection, query, file, write)


def export_table(engine: Engine, name: str, file: Path) -> int:
    """Write a whole table or view of the schema atlas. Returns the rows."""
    write, bare = _writer(file), name.removeprefix(f"{SCHEMA}.")
    with snapshot(engine) as connection:
        _require_relation(connection, bare)
        everything = f"SELECT * FROM {in_atlas(bare).as_string(connection)}"
        return _export(connection, everything, file, write)


def _export(
    connection: Connection, query: str, file: Path, write: Callable[[Path, Rows], int]
) -> int:
    try:
        with user_cursor(connection, query) as cursor, new_file(file) as unfinished:
            return write(unfinished, rows_of(cursor))
    except psycopg.Error as error:
        raise ValueError(f"the database refused the query: {error}") from None


def _require_relation(connection: Connection, name: str) -> None:
    query = (
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s)"
        " AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition ORDER BY relname"
    )
    known = [found for (found,) in connection.execute(query, (SCHEMA,)).fetchall()]
    if name not in known:
        raise ValueError(f"no table or view {name!r} in {SCHEMA}; there are {', '.join(known)}.")


def _writer(file: Path) -> Callable[[Path, Rows], int]:
    writers: dict[str, Callable[[Path, Rows], int]] = {
        ".parquet": _write_parquet,
        ".csv": partial(_write_text, write_csv),
        ".json": partial(_write_text, write_json),
        ".jsonl": partial(_write_text, write_json_lines),
    }
    if file.suffix not in writers:
        raise ValueError(f"{file}: the name should end in {', '.join(writers)}.")
    return writers[file.suffix]


def _write_parquet(path: Path, rows: Rows) -> int:
    return write_parquet(path, rows.schema, rows.batches)


def _write_text(
    write: Callable[[TextIO, list[str], Iterable[Any]], int], path: Path, rows: Rows
) -> int:
    with path.open("w", newline="", encoding="utf-8") as stream:
        return write(stream, rows.schema.names, chain.from_iterable(rows.batches))
