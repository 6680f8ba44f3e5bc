"""Rows of a query, batch by batch, with the Arrow type of every column.

A server-side cursor in one read-only transaction: memory stays flat however many rows there are,
and all that is read is of one moment.

    smallint, integer, bigint      int16, int32, int64
    real, double precision         float, double
    numeric(p, s); other numeric   decimal128(p, s); double
    boolean, bytea, date           bool, binary, date32
    timestamp, timestamptz         timestamp[us], timestamp[us, UTC]
    arrays                         lists of these
    text, jsonb and all others     string, as PostgreSQL writes them
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, NamedTuple, cast

import psycopg
import pyarrow as pa
from psycopg.abc import Query
from psycopg.types.json import set_json_loads
from sqlalchemy import Engine

from feature_atlas.etl.warehouse.staging import Connection

BATCH = 8192
"""Rows in memory at a time: of pictures, some 100 MB."""

ARROW = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "oid": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "numeric": pa.float64(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
}


class Rows(NamedTuple):
    """What a query returns, not yet fetched."""

    schema: pa.Schema
    """Names and Arrow types of its columns."""
    batches: Iterator[list[tuple[Any, ...]]]
    """Its rows, some at a time."""

    def record_batches(self) -> Iterator[pa.RecordBatch]:
        """The same in Arrow."""
        for rows in self.batches:
            columns = zip(*rows, strict=True)
            yield pa.record_batch(
                [
                    pa.array(_as_arrow(kind, values), kind)
                    for kind, values in zip(self.schema.types, columns, strict=True)
                ],
                schema=self.schema,
            )


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A read-only transaction that sees one moment of the database."""
    with engine.connect() as pooled:
        connection = cast(Connection, pooled.connection.driver_connection)
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            with connection.transaction():
                yield connection
        finally:
            pooled.invalidate()  # its settings are not for others


@contextmanager
def open_rows(
    connection: Connection, query: Query, values: Mapping[str, Any] | None = None
) -> Iterator[Rows]:
    """Run one SELECT and hand out its rows as they are asked for.

    In a server-side cursor a second statement, SET or a data-changing WITH is a syntax error.
    """
    with connection.cursor(name="export") as cursor:
        set_json_loads(_as_it_is, cursor)
        cursor.execute(query, values)
        yield Rows(_schema(connection, cursor.description or ()), _batches(cursor))


def stream(
    connection: Connection, query: Query, values: Mapping[str, Any] | None = None
) -> Iterator[tuple[Any, ...]]:
    """The rows of one SELECT one after another."""
    with open_rows(connection, query, values) as rows:
        for batch in rows.batches:
            yield from batch


def _batches(cursor: psycopg.ServerCursor[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while rows := cursor.fetchmany(BATCH):
        yield rows


def _schema(connection: Connection, columns: Sequence[psycopg.Column]) -> pa.Schema:
    names = [column.name for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"the query has more than one column called {', '.join(twice)}: name them with AS."
        )
    return pa.schema([(column.name, _arrow_type(connection, column)) for column in columns])


def _arrow_type(connection: Connection, column: psycopg.Column) -> pa.DataType:
    info = connection.adapters.types.get(column.type_code)
    if info is None:
        return pa.string()
    if column.type_code == info.array_oid:
        return pa.list_(ARROW.get(info.name, pa.string()))
    if info.name == "numeric" and column.precision is not None and column.precision <= 38:
        return pa.decimal128(column.precision, column.scale or 0)
    return ARROW.get(info.name, pa.string())


def _as_arrow(kind: pa.DataType, values: Sequence[Any]) -> Sequence[Any]:
    """Values as pyarrow takes them for a type."""
    if pa.types.is_list(kind):
        return [None if v is None else _as_arrow(kind.value_type, v) for v in values]
    if pa.types.is_string(kind):
        return [v if v is None or isinstance(v, str) else str(v) for v in values]
    if pa.types.is_float64(kind):
        return [float(v) if isinstance(v, Decimal) else v for v in values]
    return values


def _as_it_is(text: str | bytes) -> str:
    """JSON stays the text that it is."""
    return text if isinstance(text, str) else bytes(text).decode()
