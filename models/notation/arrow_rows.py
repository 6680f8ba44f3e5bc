"""Rows as Arrow, and as Parquet, with the types that they have in PostgreSQL.

smallint, integer, bigint      int16, int32, int64
real, double precision         float, double
numeric(p, s); other numeric   decimal128(p, s); double
boolean, bytea, date           bool, binary, date32
timestamp, timestamptz         timestamp[us], timestamp[us, UTC]
arrays                         lists of these
text, jsonb and all others     string, as PostgreSQL writes them
"""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from feature_atlas.models.notation.json_text import require_distinct

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


def arrow_schema(names: Sequence[str], types: Sequence[str]) -> pa.Schema:
    """Of columns whose types are said as PostgreSQL says them, such as int4[] or numeric(5,2)."""
    require_distinct(names)
    return pa.schema(list(zip(names, map(_arrow_type, types), strict=True)))


def record_batch(schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """Some rows."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [_array(field, values) for field, values in zip(schema, columns, strict=True)]
    return pa.record_batch(arrays, schema=schema)


def _array(field: pa.Field, values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(_as_arrow(field.type, values), field.type)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise ValueError(
            f"column {field.name} holds a value that Arrow's {field.type} does not have, such as "
            f"infinity ({error}): choose it as {field.name}::text."
        ) from None


def write_parquet(
    target: Path | BinaryIO, schema: pa.Schema, batches: Iterable[Sequence[Sequence[Any]]]
) -> int:
    """A file with a row group per batch; returns the rows."""
    n_rows = 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for rows in batches:
            writer.write_batch(record_batch(schema, rows))
            n_rows += len(rows)
    return n_rows


def _arrow_type(said: str) -> pa.DataType:
    if said.endswith("[]"):
        return pa.list_(ARROW.get(said[:-2].partition("(")[0], pa.string()))
    size = re.fullmatch(r"numeric\((\d+),\s*(-?\d+)\)", said)
    if size is not None and int(size[1]) <= 38:
        return pa.decimal128(int(size[1]), int(size[2]))
    return ARROW.get(said.partition("(")[0], pa.string())


def _as_arrow(kind: pa.DataType, values: Sequence[Any]) -> Sequence[Any]:
    """Values as pyarrow takes them for a type."""
    if pa.types.is_list(kind):
        return [None if v is None else _as_arrow(kind.value_type, v) for v in values]
    if pa.types.is_string(kind):
        return [v if v is None or isinstance(v, str) else str(v) for v in values]
    if pa.types.is_float64(kind):
        return [float(v) if isinstance(v, Decimal) else v for v in values]
    return values
