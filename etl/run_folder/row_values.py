"""Values of a run folder's rows: each is one that its column may hold.

What a column may hold is declared once, in `models`; here a value that breaks it gets an error
with its file and row, before the database sees anything.
"""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import BigInteger, Column, Integer, SmallInteger
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL

from feature_atlas.etl.run_folder.column_kinds import is_list, is_text
from feature_atlas.etl.run_folder.table_rows import WHAT, Batch, Known, expected_columns, table_of
from feature_atlas.models.columns import Bounds, bounds


def verify_values(batch: Batch, name: str, known: Known) -> None:
    """Refuse the first value that its column may not hold."""
    for field, column in expected_columns(table_of(name)).items():
        values = batch.column(field)
        if values.null_count and not column.nullable:
            raise batch.refuse(
                _first_null(values), f"{field} is missing, and table {name} needs it"
            )
        if values.null_count == len(values):
            continue
        where = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
        values = values.drop_null()
        if is_list(values.type):
            values, where = _items(batch, field, values, where)
        if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
            _verify_numbers(batch, field, column, values, where, known)
        elif is_text(values.type):
            _verify_texts(batch, field, column, values, where, known)


def _first_null(values: pa.Array) -> int:
    return int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])


def _items(
    batch: Batch, field: str, values: pa.Array, where: np.ndarray
) -> tuple[pa.Array, np.ndarray]:
    """What the lists hold, and the row of each."""
    where = where[pc.list_parent_indices(values).to_numpy()]
    values = pc.list_flatten(values)
    if values.null_count:
        row = int(where[_first_null(values)])
        raise batch.refuse(row, f"{field} has a missing value in its list")
    return values, where


def _verify_numbers(
    batch: Batch,
    field: str,
    column: Column[Any],
    values: pa.Array,
    where: np.ndarray,
    known: Known,
) -> None:
    numbers = values.to_numpy(zero_copy_only=False)
    is_own_number = field in WHAT and column.primary_key and column.table.name in WHAT
    if field in known.numbers and not is_own_number:
        _refuse_first(
            batch,
            ~np.isin(numbers, known.numbers[field]),
            where,
            lambda i: f"{field} {numbers[i]} is not in the run's table {field}",
        )
        return
    _verify_place(batch, field, numbers, where, known)
    is_legal, low, high = _within_bounds(column, numbers)
    _refuse_first(
        batch,
        ~is_legal,
        where,
        lambda i: f"{field} is {numbers[i]}, expected {_range(low, high)}",
    )


def _verify_place(
    batch: Batch, field: str, numbers: np.ndarray, where: np.ndarray, known: Known
) -> None:
    """A layer that has an SAE, a feature that the SAE has."""
    if field == "layer":
        legal = list(known.layers)
        _refuse_first(
            batch,
            ~np.isin(numbers, legal),
            where,
            lambda i: f"layer {numbers[i]} has no SAE; the run has layers {legal}",
        )
    if field in ("feature", "best_base_feature", "control_feature"):
        _refuse_first(
            batch,
            (numbers < 0) | (numbers >= known.d_sae),
            where,
            lambda i: f"{field} is {numbers[i]}, expected 0 to {known.d_sae - 1}",
        )


def _within_bounds(column: Column[Any], numbers: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Which numbers the column can hold and may hold, and the lowest and highest of these."""
    low, high, _ = bounds(column) or Bounds()
    item = column.type.item_type if isinstance(column.type, ARRAY) else column.type
    if isinstance(item, Integer):
        width = _width(item)
        low, high = max(low, -(2**width)), min(high, 2**width - 1)
        return (numbers >= low) & (numbers <= high), low, high
    with np.errstate(over="ignore"):  # too large for the column becomes infinite: refused
        stored: np.ndarray = numbers.astype(np.float32 if isinstance(item, REAL) else np.float64)
    return np.isfinite(stored) & (stored >= low) & (stored <= np.float32(high)), low, high


def _width(kind: Integer) -> int:
    if isinstance(kind, SmallInteger):
        return 15
    return 63 if isinstance(kind, BigInteger) else 31


def _range(low: float, high: float) -> str:
    if low == -np.inf and high == np.inf:
        return "a finite number"
    if high == np.inf:
        return f"a finite number from {low:g}"
    return f"{low:g} to {high:g}"


def _verify_texts(
    batch: Batch,
    field: str,
    column: Column[Any],
    values: pa.Array,
    where: np.ndarray,
    known: Known,
) -> None:
    declared = bounds(column) or Bounds()
    legal = known.words.get(field, declared.values)
    if legal:
        is_bad = pc.invert(pc.is_in(values, pa.array(legal, values.type)))
        _refuse_first(
            batch,
            is_bad.to_numpy(zero_copy_only=False),
            where,
            lambda i: f"{field} is {values[i].as_py()!r}, expected one of {', '.join(legal)}",
        )
    _refuse_first(
        batch,
        pc.match_substring(values, "\x00").to_numpy(zero_copy_only=False),
        where,
        lambda i: f"{field} contains a zero byte, which PostgreSQL's text cannot hold",
    )
    if isinstance(column.type, JSONB):
        _verify_json(batch, field, values, where)


def _verify_json(batch: Batch, field: str, values: pa.Array, where: np.ndarray) -> None:
    for row, text in zip(where, values.to_pylist(), strict=True):
        try:
            json.loads(text)
        except json.JSONDecodeError as error:
            raise batch.refuse(int(row), f"{field} is not JSON ({error})") from None


def _refuse_first(batch: Batch, is_bad: np.ndarray, where: np.ndarray, say: Any) -> None:
    if is_bad.any():
        first = int(np.flatnonzero(is_bad)[0])
        raise batch.refuse(int(where[first]), say(first))
