"""Values of a query as the database has them, where Python's own types would change or refuse them.

booleans, integers, floats, numeric, bytea, texts    Python's
date, time, timestamp                                Python's; its text where Python has none:
                                                     infinity, 24:00, before Christ
interval                                             IntervalText: Python knows no months
json, jsonb                                          JsonText: as many digits as there are
uuid, inet, ranges, records and all others           the text that PostgreSQL writes
"""

from typing import Any

import psycopg
from psycopg.abc import Buffer, Loader
from psycopg.types import datetime as moments
from psycopg.types.string import TextLoader

AS_PYTHON = (
    *("bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "bytea"),
    *("text", "varchar", "bpchar", "name"),
)
"""Types whose values Python holds exactly."""


class JsonText(str):
    """JSON, as its text."""


class IntervalText(str):
    """A length of time in ISO 8601, such as P1M2DT3H."""


class _JsonLoader(TextLoader):
    def load(self, data: Buffer) -> JsonText:
        return JsonText(bytes(data).decode())


class _IntervalLoader(TextLoader):
    def load(self, data: Buffer) -> IntervalText:
        return IntervalText(bytes(data).decode())


def _or_text(loader: type[Loader]) -> type[Loader]:
    """A loader that hands out the text of what Python has no value for."""

    def load(self: Loader, data: Buffer) -> Any:
        try:
            return loader.load(self, data)
        except (psycopg.DataError, ValueError, OverflowError):
            return bytes(data).decode()

    return type(f"{loader.__name__}OrText", (loader,), {"load": load})


LOADERS: dict[str, type[Loader]] = {
    "json": _JsonLoader,
    "jsonb": _JsonLoader,
    "interval": _IntervalLoader,
    "date": _or_text(moments.DateLoader),
    "time": _or_text(moments.TimeLoader),
    "timetz": _or_text(moments.TimetzLoader),
    "timestamp": _or_text(moments.TimestampLoader),
    "timestamptz": _or_text(moments.TimestamptzLoader),
}


def load_exactly(cursor: psycopg.Cursor[Any] | psycopg.ServerCursor[Any]) -> None:
    """Have a cursor that is yet to execute hand out such values; until the transaction ends."""
    cursor.connection.execute(
        "SET LOCAL intervalstyle = 'iso_8601'; SET LOCAL datestyle = 'ISO';"
        " SET LOCAL extra_float_digits = 1"
    )
    for info in cursor.adapters.types:
        if info.name not in AS_PYTHON:
            cursor.adapters.register_loader(info.oid, LOADERS.get(info.name, TextLoader))
