"""Columns of a run folder's files: all that their table needs, no others, each of its kind.

What a column holds is declared once, in `models`; here that is said in Arrow's types.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary
from sqlalchemy.dialects.postgresql import ARRAY

from feature_atlas.etl.run_folder.manifest import FileEntry
from feature_atlas.etl.run_folder.run_files import open_table_file
from feature_atlas.etl.warehouse.table_rows import default_of, expected_columns, table_of

REBUILD = "Correct the stage that wrote it and build the run again."


def verify_columns(folder: Path, file: FileEntry, name: str) -> None:
    """Refuse a file whose columns are not those of its table."""
    schema = open_table_file(folder, file).schema_arrow
    expected = expected_columns(table_of(name))
    missing = [
        name
        for name, column in expected.items()
        if name not in schema.names and not column.nullable and default_of(column) is None
    ]
    if missing:
        raise ValueError(
            f"{folder / file.path} has no column {', '.join(missing)}; "
            f"table {name} needs {', '.join(expected)}. {REBUILD}"
        )
    surplus = sorted(set(schema.names) - expected.keys())
    if surplus:
        raise ValueError(
            f"{folder / file.path} has columns {', '.join(surplus)} that table {name} does not "
            f"know; it has {', '.join(expected)}. {REBUILD}"
        )
    for field in schema:
        _verify_kind(folder, file, field, expected[field.name])


def _verify_kind(folder: Path, file: FileEntry, field: pa.Field, column: Column[Any]) -> None:
    wanted, fits = _kind(field.name, column)
    found = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    is_empty = pa.types.is_null(found) or file.rows == 0
    if not is_empty and not fits(found):
        raise ValueError(
            f"{folder / file.path}: column {field.name} is {field.type}, expected {wanted}. "
            f"{REBUILD}"
        )


def _kind(name: str, column: Column[Any]) -> tuple[str, Any]:
    """Which Arrow types may fill a column, in words and as a test."""
    if name in ("regime", "skill"):
        return "text", is_text
    kind = column.type
    if isinstance(kind, ARRAY):
        words, fits = ("numbers", pa.types.is_floating) if _is_number(kind) else ("texts", is_text)
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


def _is_number(kind: ARRAY[Any]) -> bool:
    return isinstance(kind.item_type, Float)
