"""Copy the rows of a run folder into the run's own tables.

Part of the loader (`load.py`). No Python per row: dense tables are of fixed width, and arrays
become bytes; rows with texts and lists go from Arrow to Postgres' binary format by `pgpq`.
"""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
from feature_atlas.etl.warehouse.side_by_side import side_by_side
from feature_atlas.etl.warehouse.staging import Load, claim, interrupt

Encoded = tuple[int, bytes]
"""How many rows, and bytes for the server."""
Rows = tuple[list[Column[Any]], Iterator[Encoded]]
"""Columns of a table, and a file's rows of it."""


def copy_rows(load: Load, ids: Ids) -> dict[str, int]:
    """Every row of the folder, some tables side by side; returns how many by table."""
    tables = load.manifest.tables
    rows = dict.fromkeys((*WHAT, *SPARSE, *DENSE), 0)
    total = sum(file.rows for file in load.manifest.files)

    def tell(table: str, n_rows: int) -> None:
        rows[table] += n_rows
        load.progress("copy", sum(rows.values()), total)

    def size(table: str) -> int:
        return sum(file.bytes for file in tables[table])

    largest_first = sorted(set(rows) & set(tables), key=lambda table: (-size(table), table))
    side_by_side(load.lanes(), partial(_copy_table, ids), largest_first, tell, interrupt)
    return rows


def _copy_table(ids: Ids, load: Load, table: str) -> Generator[int, None, None]:
    encode = _dense_rows if table in DENSE else _sparse_rows
    for file in load.manifest.tables[table]:
        columns, content = encode(load, ids, table, file)
        with row_in_errors(load.folder / file.path), load.connection.transaction():
            claim(load, table)
            yield from _copy(load, file, _copy_statement(load, table, columns), content)


def _copy(
    load: Load, file: FileEntry, statement: sql.Composed, content: Iterator[Encoded]
) -> Iterator[int]:
    """Hand the rows of one file to the server; yields how many, batch by batch."""
    with load.connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for n_rows, encoded in _ahead(content):
                copy.write(encoded)
                yield n_rows
        _expect(load, cursor.rowcount, file)


def _ahead(batches: Iterator[Encoded]) -> Iterator[Encoded]:
    """The same; each is read and encoded while the server takes the one before it."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def _dense_rows(load: Load, ids: Ids, table: str, file: FileEntry) -> Rows:
    columns, own = list(table_of(table).columns), _own(load, ids, file)

    def encoded() -> Iterator[Encoded]:
        rows = BinaryRows([_dtype(column.type) for column in columns], BATCH)
        yield 0, HEADER
        for batch in read_batches(load.folder, load.manifest, file):
            values = [own[c.name] if c.name in own else _array(c, batch, ids) for c in columns]
            yield batch.rows.num_rows, rows.encode(values)
        yield 0, TRAILER

    return columns, encoded()


def _array(column: Column[Any], batch: Batch, ids: Ids) -> np.ndarray | None:
    """A column's values as the database wants them; masked where one is missing.

    None: all are.
    """
    field = LOCAL.get(column.name, column.name)
    values = batch.column(field)
    if field in ids:
        return _numbers(values, ids[field])
    if values.null_count == len(values):
        return None
    if values.null_count:
        is_missing = values.is_null().to_numpy(zero_copy_only=False)
        known = values.fill_null(pa.scalar(0).cast(values.type))
        return np.ma.masked_array(known.to_numpy(zero_copy_only=False), is_missing)
    return cast(np.ndarray, values.to_numpy(zero_copy_only=False))


def _numbers(values: pa.Array, known: dict[Any, int]) -> np.ndarray:
    """The database's ids of words or local numbers."""
    words = values.dictionary_encode()
    numbers = np.array([known[word] for word in words.dictionary.to_pylist()])
    return cast(np.ndarray, numbers[words.indices.to_numpy()])


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


def _sparse_rows(load: Load, ids: Ids, table: str, file: FileEntry) -> Rows:
    own = {} if table in WHAT else _own(load, ids, file)
    fields = {name: table_of(table).columns[name] for name in own}
    fields |= expected_columns(table_of(table))

    def encoded() -> Iterator[Encoded]:
        encoder = _arrow_encoder(fields)
        yield 0, encoder.write_header()
        for batch in read_batches(load.folder, load.manifest, file):
            rows = _arrow_rows(fields, batch, ids, own)
            yield batch.rows.num_rows, encoder.write_batch(rows)
        yield 0, encoder.finish()

    return list(fields.values()), encoded()


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
            arrays[name] = pa.array(_numbers(batch.column(name), ids[name])).cast(kind)
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
