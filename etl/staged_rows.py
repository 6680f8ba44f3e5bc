"""Copy the rows of a run folder into the run's own tables.

Part of the loader (`etl/load.py`). Dense tables are large and of fixed width: arrays become bytes,
no Python per row. Sparse ones go row by row.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, LiteralString, cast

import numpy as np
from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import BigInteger, Boolean, Column, Integer, SmallInteger
from sqlalchemy.dialects.postgresql import JSONB, REAL

from feature_atlas.etl.binary_copy import HEADER, TRAILER, BinaryRows
from feature_atlas.etl.database_errors import naming_the_row
from feature_atlas.etl.manifest import FileEntry
from feature_atlas.etl.registry import Ids
from feature_atlas.etl.staging import Load
from feature_atlas.etl.table_rows import (
    BATCH,
    DENSE,
    LOCAL,
    SPARSE,
    WHAT,
    Batch,
    expected_columns,
    read_batches,
    table_of,
)


def copy_rows(load: Load, ids: Ids) -> dict[str, int]:
    """Every row of the folder; returns how many by table."""
    rows, total, done = {}, sum(file.rows for file in load.manifest.files), 0
    for table in (*WHAT, *SPARSE, *DENSE):
        rows[table] = 0
        copy = _copy_dense if table in DENSE else _copy_sparse
        for file in load.manifest.tables.get(table, []):
            with naming_the_row(load.folder / file.path), load.connection.transaction():
                for n_rows in copy(load, ids, table, file):
                    rows[table] += n_rows
                    done += n_rows
                    load.progress("copy", done, total)
    return rows


def _copy_dense(load: Load, ids: Ids, table: str, file: FileEntry) -> Iterator[int]:
    columns = list(table_of(table).columns)
    own = {"run_id": load.run_id, "measurement_id": ids["stage"][file.stage]}
    rows = BinaryRows([_dtype(column) for column in columns], BATCH)
    with load.connection.cursor() as cursor:
        with cursor.copy(_copy_statement(load, table, columns, "(FORMAT binary)")) as copy:
            copy.write(HEADER)
            for batch in read_batches(load.folder, file):
                arrays = [own[c.name] if c.name in own else _array(c, batch, ids) for c in columns]
                copy.write(rows.encode(arrays))
                yield batch.rows.num_rows
            copy.write(TRAILER)
        _expect(load, cursor.rowcount, file)


def _array(column: Column[Any], batch: Batch, ids: Ids) -> np.ndarray:
    """A column's values as the database wants them."""
    field = LOCAL.get(column.name, column.name)
    values = batch.column(field)
    if field in ("regime", "skill"):
        words = values.dictionary_encode()
        numbers = np.array([ids[field][word] for word in words.dictionary.to_pylist()])
        return cast(np.ndarray, numbers[words.indices.to_numpy()])
    return cast(np.ndarray, values.to_numpy(zero_copy_only=False))


def _dtype(column: Column[Any]) -> np.dtype:
    """How numpy stores what a column stores."""
    kind = column.type
    if isinstance(kind, Boolean):
        return np.dtype(np.bool_)
    if isinstance(kind, SmallInteger):
        return np.dtype(np.int16)
    if isinstance(kind, BigInteger):
        return np.dtype(np.int64)
    if isinstance(kind, Integer):
        return np.dtype(np.int32)
    return np.dtype(np.float32 if isinstance(kind, REAL) else np.float64)


def _copy_sparse(load: Load, ids: Ids, table: str, file: FileEntry) -> Iterator[int]:
    fields = expected_columns(table_of(table))
    columns = list(fields.values())
    own = [] if table in WHAT else [load.run_id, ids["stage"][file.stage]]
    if own:
        columns = [table_of(table).columns[n] for n in ("run_id", "measurement_id")] + columns
    with load.connection.cursor() as cursor:
        with cursor.copy(_copy_statement(load, table, columns, "")) as copy:
            for batch in read_batches(load.folder, file):
                values = [_values(field, column, batch, ids) for field, column in fields.items()]
                for row in zip(*values, strict=True):
                    copy.write_row([*own, *row])
                yield batch.rows.num_rows
        _expect(load, cursor.rowcount, file)


def _values(field: str, column: Column[Any], batch: Batch, ids: Ids) -> Sequence[Any]:
    values: list[Any] = batch.column(field).to_pylist()
    if field in ("regime", "skill", "dataset"):
        return [ids[field][value] for value in values]
    if isinstance(column.type, JSONB):
        return [None if value is None else Jsonb(json.loads(value)) for value in values]
    return values


def _copy_statement(
    load: Load, table: str, columns: Sequence[Column[Any]], options: LiteralString
) -> sql.Composed:
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    return sql.SQL("COPY {} ({}) FROM STDIN {}").format(load.staged(table), names, sql.SQL(options))


def _expect(load: Load, n_rows: int, file: FileEntry) -> None:
    if n_rows != file.rows:
        raise RuntimeError(
            f"{load.folder / file.path}: the database took {n_rows} of {file.rows} rows. "
            "Nothing is published; run the same command again."
        )
