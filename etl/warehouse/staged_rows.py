"""Copy the rows of a run folder into the run's own tables.

Part of the loader (`load.py`). No Python per row: dense tables are of fixed width, and arrays
become bytes; rows with texts and lists go from Arrow to Postgres' binary format by `pgpq`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
from pgpq import ArrowToPostgresBinaryEncoder
from pgpq.encoders import StringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg import sql
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL

from feature_atlas.etl.run_folder.manifest import FileEntry
from feature_atlas.etl.run_folder.table_rows import (
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
from feature_atlas.etl.warehouse.binary_copy import HEADER, TRAILER, BinaryRows
from feature_atlas.etl.warehouse.database_errors import row_in_errors
from feature_atlas.etl.warehouse.registry import Ids
from feature_atlas.etl.warehouse.staging import Load


def copy_rows(load: Load, ids: Ids) -> dict[str, int]:
    """Every row of the folder; returns how many by table."""
    rows, total, done = {}, sum(file.rows for file in load.manifest.files), 0
    for table in (*WHAT, *SPARSE, *DENSE):
        rows[table] = 0
        copy = _copy_dense if table in DENSE else _copy_sparse
        for file in load.manifest.tables.get(table, []):
            with row_in_errors(load.folder / file.path), load.connection.transaction():
                for n_rows in copy(load, ids, table, file):
                    rows[table] += n_rows
                    done += n_rows
                    load.progress("copy", done, total)
    return rows


def _copy_dense(load: Load, ids: Ids, table: str, file: FileEntry) -> Iterator[int]:
    columns = list(table_of(table).columns)
    own = _own(load, ids, file)
    rows = BinaryRows([_dtype(column.type) for column in columns], BATCH)
    with load.connection.cursor() as cursor:
        with cursor.copy(_copy_statement(load, table, columns)) as copy:
            copy.write(HEADER)
            for batch in read_batches(load.folder, file):
                arrays = [own[c.name] if c.name in own else _array(c, batch, ids) for c in columns]
                copy.write(rows.encode(arrays))
                yield batch.rows.num_rows
            copy.write(TRAILER)
        _expect(load, cursor.rowcount, file)


def _array(column: Column[Any], batch: Batch, ids: Ids) -> np.ndarray:
    """A column's values as the database wants them; masked where one is missing."""
    field = LOCAL.get(column.name, column.name)
    values = batch.column(field)
    if field in ids:
        words = values.dictionary_encode()
        numbers = np.array([ids[field][word] for word in words.dictionary.to_pylist()])
        return cast(np.ndarray, numbers[words.indices.to_numpy()])
    if values.null_count == len(values):  # of whatever type
        return np.ma.masked_all(len(values), _dtype(column.type))
    if values.null_count:
        is_missing = values.is_null().to_numpy(zero_copy_only=False)
        known = values.fill_null(pa.scalar(0).cast(values.type))
        return np.ma.masked_array(known.to_numpy(zero_copy_only=False), is_missing)
    return cast(np.ndarray, values.to_numpy(zero_copy_only=False))


def _dtype(kind: Any) -> np.dtype:
    """How numpy stores what a column stores."""
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
    own = {} if table in WHAT else _own(load, ids, file)
    fields = {name: table_of(table).columns[name] for name in own}
    fields |= expected_columns(table_of(table))
    encoder = _arrow_encoder(fields)
    with load.connection.cursor() as cursor:
        with cursor.copy(_copy_statement(load, table, list(fields.values()))) as copy:
            copy.write(encoder.write_header())
            for batch in read_batches(load.folder, file):
                copy.write(encoder.write_batch(_arrow_rows(fields, batch, ids, own)))
                yield batch.rows.num_rows
            copy.write(encoder.finish())
        _expect(load, cursor.rowcount, file)


def _arrow_encoder(fields: dict[str, Column[Any]]) -> ArrowToPostgresBinaryEncoder:
    schema = pa.schema([pa.field(name, _arrow_type(c.type)) for name, c in fields.items()])
    encoders = {
        name: StringEncoderBuilder.new_with_output(schema.field(name), Jsonb())
        if isinstance(column.type, JSONB)
        else ArrowToPostgresBinaryEncoder.infer_encoder(schema.field(name))
        for name, column in fields.items()
    }
    return ArrowToPostgresBinaryEncoder.new_with_encoders(schema, encoders)


def _arrow_rows(
    fields: dict[str, Column[Any]], batch: Batch, ids: Ids, own: dict[str, int]
) -> pa.RecordBatch:
    """A batch as the database wants it: ids for words, and the types of the table."""
    arrays = {}
    for name, column in fields.items():
        kind = _arrow_type(column.type)
        if name in own:
            arrays[name] = pa.repeat(pa.scalar(own[name], kind), batch.rows.num_rows)
        elif name in ids:
            arrays[name] = pa.array(_array(column, batch, ids)).cast(kind)
        else:
            arrays[name] = batch.column(name).cast(kind)
    return pa.record_batch(arrays)


def _arrow_type(kind: Any) -> pa.DataType:
    """How Arrow stores what a column stores; JSON as its text."""
    if isinstance(kind, ARRAY):
        return pa.list_(_arrow_type(kind.item_type))
    if isinstance(kind, LargeBinary):
        return pa.binary()
    if isinstance(kind, (String, JSONB)):
        return pa.string()
    return pa.from_numpy_dtype(_dtype(kind))


def _own(load: Load, ids: Ids, file: FileEntry) -> dict[str, int]:
    """Columns with one value in all rows of a file."""
    return {"run_id": load.run_id, "measurement_id": ids["stage"][file.stage]}


def _copy_statement(load: Load, table: str, columns: Sequence[Column[Any]]) -> sql.Composed:
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    return sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(load.staged(table), names)


def _expect(load: Load, n_rows: int, file: FileEntry) -> None:
    if n_rows != file.rows:
        raise RuntimeError(
            f"{load.folder / file.path}: the database took {n_rows} of {file.rows} rows. "
            "Nothing is published; run the same command again."
        )
