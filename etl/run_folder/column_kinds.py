"""Columns of a run folder's files: all that their table needs, no others, each of its kind.

What a column holds is declared once, in `models`; here that is said in Arrow's types, for the stage
that writes a file (`as_declared`) and for the loader that reads it (`verify_columns`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary
from sqlalchemy.dialects.postgresql import ARRAY

from feature_atlas.etl.run_folder.table_rows import (
    DENSE,
    SPARSE,
    WHAT,
    default_of,
    expected_columns,
    table_of,
)

REBUILD = "Correct the stage that wrote it and build the run again."


def as_declared(path: Path, name: str, columns: Mapping[str, Any]) -> pa.Table:
    """The columns of one table, each of its declared kind, or an error that names one that is not.

    Python and numpy decide between whole and real by accident: 50 beside 49.5, a mean that is 50.
    """
    if name not in (*WHAT, *SPARSE, *DENSE):
        raise ValueError(
            f"{path}: there is no table {name!r} for rows of a run; known are "
            f"{', '.join((*WHAT, *SPARSE, *DENSE))}. {REBUILD}"
        )
    expected = expected_columns(table_of(name))
    return pa.table(
        {
            field: _as_kind(path, field, values, expected[field]) if field in expected else values
            for field, values in columns.items()
        }
    )


def _as_kind(path: Path, field: str, values: Any, column: Column[Any]) -> Any:
    """Values of the column's kind, numbers without loss; what is of its kind stays as it came."""
    wanted, fits = _kind(field, column)
    number = _number_kind(field, column)
    try:
        found = _as_arrow(values)
        if number is None or not _holds_numbers(found.type) or fits(found.type):
            return found
        return found.cast(number)
    except (pa.ArrowException, TypeError) as error:
        raise ValueError(
            f"{path}: column {field} should hold {wanted} ({error}). {REBUILD}"
        ) from None


def _as_arrow(values: Any) -> Any:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    try:
        return pa.array(values)
    except (pa.ArrowException, TypeError):
        return pa.array(values, pa.float64())  # whole and real numbers of several numpy kinds


def _holds_numbers(kind: pa.DataType) -> bool:
    inner = kind.value_type if is_list(kind) else kind
    return pa.types.is_integer(inner) or pa.types.is_floating(inner)


def _number_kind(field: str, column: Column[Any]) -> pa.DataType | None:
    """What numbers of another kind become in a column; None where they have no place."""
    if field in ("regime", "skill"):
        return None
    kind = column.type
    if isinstance(kind, ARRAY):
        return {"numbers": pa.list_(pa.float64()), "whole numbers": pa.list_(pa.int64())}.get(
            _item_kind(kind)[0]
        )
    if isinstance(kind, Integer):
        return pa.int64()
    return pa.float64() if isinstance(kind, Float) else None


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def verify_columns(path: Path, schema: pa.Schema, n_rows: int, name: str) -> None:
    """Refuse a file whose columns are not those of its table."""
    expected = expected_columns(table_of(name))
    missing = [
        name
        for name, column in expected.items()
        if name not in schema.names and not column.nullable and default_of(column) is None
    ]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}; "
            f"table {name} needs {', '.join(expected)}. {REBUILD}"
        )
    surplus = sorted(set(schema.names) - expected.keys())
    if surplus:
        raise ValueError(
            f"{path} has columns {', '.join(surplus)} that table {name} does not "
            f"know; it has {', '.join(expected)}. {REBUILD}"
        )
    for field in schema:
        _verify_kind(path, field, n_rows, expected[field.name])


def _verify_kind(path: Path, field: pa.Field, n_rows: int, column: Column[Any]) -> None:
    wanted, fits = _kind(field.name, column)
    found = _plain(field.type)
    is_empty = pa.types.is_null(found) or n_rows == 0
    if not is_empty and not fits(found):
        raise ValueError(
            f"{path}: column {field.name} is {field.type}, expected {wanted}. {REBUILD}"
        )


def _kind(name: str, column: Column[Any]) -> tuple[str, Any]:
    """Which Arrow types may fill a column, in words and as a test."""
    if name in ("regime", "skill"):
        return "text", is_text
    kind = column.type
    if isinstance(kind, ARRAY):
        words, fits = _item_kind(kind)
        return f"lists of {words}", lambda t: is_list(t) and fits(t.value_type)
    if isinstance(kind, Boolean):
        return "true or false", pa.types.is_boolean
    if isinstance(kind, Integer):
        return "whole numbers", pa.types.is_integer
    if isinstance(kind, Float):
        return "numbers", pa.types.is_floating
    if isinstance(kind, LargeBinary):
        return "bytes", lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t)
    return "text", is_text


def is_text(kind: pa.DataType) -> bool:
    """Whether the values are texts."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_list(kind: pa.DataType) -> bool:
    """Whether the values are lists, of whatever length."""
    return any(
        test(kind)
        for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    )


def _item_kind(kind: ARRAY[Any]) -> tuple[str, Any]:
    """Likewise of what lists hold."""
    if isinstance(kind.item_type, Float):
        return "numbers", pa.types.is_floating
    if isinstance(kind.item_type, Integer):
        return "whole numbers", pa.types.is_integer
    return "texts", is_text
