"""Any query or table of the atlas as one file: Parquet, CSV, JSON or JSON lines by its suffix."""

import csv
import json
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
from psycopg import sql
from psycopg.abc import Query
from sqlalchemy import Engine

from feature_atlas.etl.bridges.export_rows import Rows, open_rows, snapshot
from feature_atlas.etl.bridges.export_target import new_file
from feature_atlas.etl.warehouse.staging import Connection, in_atlas
from feature_atlas.models.base import SCHEMA


def export_query(engine: Engine, query: str, file: Path) -> int:
    """Write what one SELECT returns; the engine should be a reader's. Returns the rows."""
    write = _writer(file)
    with snapshot(engine) as connection:
        return _export(connection, query.strip().rstrip(";").encode(), file, write)


def export_table(engine: Engine, name: str, file: Path) -> int:
    """Write a whole table or view of the schema atlas. Returns the rows."""
    write = _writer(file)
    with snapshot(engine) as connection:
        _require_relation(connection, name.removeprefix(f"{SCHEMA}."))
        everything = sql.SQL("SELECT * FROM {}").format(in_atlas(name.removeprefix(f"{SCHEMA}.")))
        return _export(connection, everything, file, write)


def write_parquet(path: Path, rows: Rows) -> int:
    """Rows with their types kept; a row group per batch. Returns how many."""
    n_rows = 0
    with pq.ParquetWriter(path, rows.schema, compression="zstd") as writer:
        for batch in rows.record_batches():
            writer.write_batch(batch)
            n_rows += batch.num_rows
    return n_rows


def _export(
    connection: Connection, query: Query, file: Path, write: Callable[[Path, Rows], int]
) -> int:
    try:
        with open_rows(connection, query) as rows, new_file(file) as partial:
            return write(partial, rows)
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
    writers = {
        ".parquet": write_parquet,
        ".csv": _write_csv,
        ".json": _write_json,
        ".jsonl": _write_json_lines,
    }
    if file.suffix not in writers:
        raise ValueError(f"{file}: the name should end in {', '.join(writers)}.")
    return writers[file.suffix]


def _write_csv(path: Path, rows: Rows) -> int:
    n_rows = 0
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(rows.schema.names)
        for batch in rows.batches:
            writer.writerows([_cell(value) for value in row] for row in batch)
            n_rows += len(batch)
    return n_rows


def _write_json_lines(path: Path, rows: Rows) -> int:
    n_rows = 0
    with path.open("w", encoding="utf-8") as stream:
        for line in _objects(rows):
            stream.write(f"{line}\n")
            n_rows += 1
    return n_rows


def _write_json(path: Path, rows: Rows) -> int:
    n_rows = 0
    with path.open("w", encoding="utf-8") as stream:
        stream.write("[")
        for line in _objects(rows):
            stream.write(f"{',' if n_rows else ''}\n{line}")
            n_rows += 1
        stream.write("\n]\n")
    return n_rows


def _objects(rows: Rows) -> Iterator[str]:
    for batch in rows.batches:
        for row in batch:
            value = dict(zip(rows.schema.names, row, strict=True))
            yield json.dumps(value, default=_plain, ensure_ascii=False)


def _cell(value: Any) -> Any:
    """A value as a CSV file holds it: lists in JSON, moments in ISO 8601."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return _plain(value) if isinstance(value, bytes | date) else value


def _plain(value: Any) -> Any:
    """What JSON has no form for."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, date | datetime):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else str(value)
