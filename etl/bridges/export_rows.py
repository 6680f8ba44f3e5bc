"""Rows of a query, batch by batch, with the type of every column.

A server-side cursor in one read-only transaction: memory stays flat however many rows there are,
and all that is read is of one moment.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import psycopg
import pyarrow as pa
from psycopg.abc import Query
from sqlalchemy import Engine

from feature_atlas.etl.warehouse.staging import Connection
from feature_atlas.models.notation.arrow_rows import arrow_schema, record_batch
from feature_atlas.models.notation.exact_values import load_exactly

BATCH = 8192
"""Rows in memory at a time: of pictures, some 100 MB."""


class Rows(NamedTuple):
    """What a query returns, not yet fetched."""

    schema: pa.Schema
    """Names and Arrow types of its columns."""
    batches: Iterator[list[tuple[Any, ...]]]
    """Its rows, some at a time."""

    def record_batches(self) -> Iterator[pa.RecordBatch]:
        """The same in Arrow."""
        return (record_batch(self.schema, rows) for rows in self.batches)


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
        load_exactly(cursor)
        cursor.execute(query, values)
        yield rows_of(cursor)


def rows_of(cursor: psycopg.ServerCursor[Any]) -> Rows:
    """What a cursor is about to hand out."""
    columns = cursor.description or []
    names, types = [c.name for c in columns], [c.type_display for c in columns]
    return Rows(arrow_schema(names, types), _batches(cursor))


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
