"""Rows of a run folder's tables: which columns they must have, and whether the values may be.

What a column may hold is declared once, in `models`; here a value that breaks it gets an error
with its file and row, before the database sees anything. Files are read batch by batch.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, REAL

from feature_atlas.etl.manifest import FileEntry, Manifest, open_table_file
from feature_atlas.models import Base
from feature_atlas.models.base import SCHEMA
from feature_atlas.models.columns import Bounds, bounds

DENSE = ("decoder_cosine", "visual_energy", "firing_shift", "selection")
SPARSE = (
    "training_curve",
    "candidate",
    "neutral_prompt",
    "example",
    "auto_interp",
    "head_attribution",
    "overlay",
    "ablation",
    "ablation_outcome",
)
WHAT = ("image", "sample")  # what the facts refer to, by local numbers
REQUIRED = ("decoder_cosine", "visual_energy", "selection")

REGIMES = ("text", "image", "full", "random")
BATCH = 65_536

# files name these by word or local number; the loader puts the database's ids in their place
LOCAL = {
    "regime_id": "regime",
    "skill_id": "skill",
    "dataset_id": "dataset",
    "image_id": "image",
    "sample_id": "sample",
}


class Known(NamedTuple):
    """What the rows of a run may refer to."""

    layers: tuple[int, ...]
    d_sae: int
    words: dict[str, tuple[str, ...]]
    """Legal words by column, e.g. regimes."""
    numbers: dict[str, np.ndarray]
    """Legal local numbers by column: dataset, image, sample."""


class Batch(NamedTuple):
    """Some rows of one file."""

    path: Path
    first: int
    """Row of the file that comes first."""
    rows: pa.RecordBatch

    def column(self, name: str) -> pa.Array:
        """A column's values; a missing one may be left out, so it is all null."""
        if name not in self.rows.schema.names:
            return pa.nulls(self.rows.num_rows)
        found = self.rows.column(name)
        return found.dictionary_decode() if pa.types.is_dictionary(found.type) else found

    def refuse(self, row: int, what: str) -> ValueError:
        """An error about one of these rows."""
        return ValueError(
            f"{self.path}, row {self.first + row}: {what}. Nothing was loaded; correct the stage "
            "that wrote it and build the run again."
        )


def table_of(name: str) -> Table:
    """A table of the schema by name."""
    return Base.metadata.tables[f"{SCHEMA}.{name}"]


def expected_columns(table: Table) -> dict[str, Column[Any]]:
    """Columns that the files of a table have, by their name there."""
    own = {"run_id", "measurement_id"}
    if table.name not in WHAT:
        own.add("id")
    rename = LOCAL | {"id": table.name}
    return {rename.get(c.name, c.name): c for c in table.columns if c.name not in own}


def read_batches(folder: Path, file: FileEntry) -> Iterator[Batch]:
    """The rows of one file, some at a time."""
    first = 0
    for rows in open_table_file(folder, file).iter_batches(batch_size=BATCH):
        yield Batch(folder / file.path, first, rows)
        first += rows.num_rows


def verify_tables(folder: Path, manifest: Manifest) -> Iterator[int]:
    """Check every row of every table; yields the number of rows checked, batch by batch."""
    tables = manifest.tables
    unknown = sorted(set(tables) - {*DENSE, *SPARSE, *WHAT})
    if unknown:
        raise ValueError(
            f"{folder / 'manifest.json'} lists files for unknown tables {unknown}; "
            f"known are {sorted({*DENSE, *SPARSE, *WHAT})}."
        )
    missing = [name for name in REQUIRED if name not in tables]
    if missing:
        raise ValueError(
            f"{folder / 'manifest.json'} lists no rows for {', '.join(missing)}: every run needs "
            "them. Finish the run with `feature-atlas build`."
        )
    numbers = {"dataset": np.array([d.key for d in manifest.datasets], np.int64)}
    for name in (*WHAT, *DENSE, *SPARSE):
        known = Known(
            tuple(manifest.sae_set.layers), manifest.sae_set.d_sae, {"regime": REGIMES}, numbers
        )
        keys = _DenseKeys(name, known) if name in DENSE else _SparseKeys(name)
        local = []
        for file in tables.get(name, []):
            _verify_columns(folder, file, name)
            for batch in read_batches(folder, file):
                _verify_batch(batch, name, known)
                keys.add(batch)
                if name in WHAT:
                    local.append(batch.column(name).to_numpy(zero_copy_only=False))
                yield batch.rows.num_rows
        keys.verify(folder)
        if name in WHAT:
            numbers[name] = np.concatenate(local) if local else np.empty(0, np.int64)


def _verify_columns(folder: Path, file: FileEntry, name: str) -> None:
    schema = open_table_file(folder, file).schema_arrow
    expected = expected_columns(table_of(name))
    missing = [n for n, column in expected.items() if n not in schema.names and not column.nullable]
    if missing:
        raise ValueError(
            f"{folder / file.path} has no column {', '.join(missing)}; "
            f"table {name} needs {', '.join(expected)}."
        )
    surplus = sorted(set(schema.names) - expected.keys())
    if surplus:
        raise ValueError(
            f"{folder / file.path} has columns {', '.join(surplus)} that table {name} does not "
            f"know; it has {', '.join(expected)}."
        )
    for field in schema:
        wanted, fits = _kind(field.name, expected[field.name])
        found = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        is_empty = pa.types.is_null(found) or file.rows == 0
        if not is_empty and not fits(found):
            raise ValueError(
                f"{folder / file.path}: column {field.name} is {field.type}, expected {wanted}."
            )


def _kind(name: str, column: Column[Any]) -> tuple[str, Any]:
    """Which Arrow types may fill a column, in words and as a test."""
    if name in ("regime", "skill"):
        return "text", _is_text
    kind = column.type
    if isinstance(kind, ARRAY):
        words, fits = ("numbers", pa.types.is_floating) if _is_number(kind) else ("texts", _is_text)
        return f"lists of {words}", lambda t: _is_list(t) and fits(t.value_type)
    if isinstance(kind, Boolean):
        return "true or false", pa.types.is_boolean
    if isinstance(kind, Integer):
        return "whole numbers", pa.types.is_integer
    if isinstance(kind, Float):
        return "numbers", pa.types.is_floating
    if isinstance(kind, LargeBinary):
        return "bytes", lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t)
    return "text", _is_text


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_list(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    )


def _is_number(kind: ARRAY[Any]) -> bool:
    return isinstance(kind.item_type, Float)


def _verify_batch(batch: Batch, name: str, known: Known) -> None:
    for field, column in expected_columns(table_of(name)).items():
        values = batch.column(field)
        if values.null_count and not column.nullable:
            row = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
            raise batch.refuse(row, f"{field} is missing, and table {name} needs it")
        if values.null_count == len(values):
            continue
        where = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
        values = values.drop_null()
        if _is_list(values.type):
            where = where[pc.list_parent_indices(values).to_numpy()]
            values = pc.list_flatten(values)
            if values.null_count:
                row = int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
                raise batch.refuse(int(where[row]), f"{field} has a missing value in its list")
        if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
            _verify_numbers(batch, field, column, values, where, known)
        elif _is_text(values.type):
            _verify_texts(batch, field, column, values, where, known)


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
    low, high, _ = bounds(column) or Bounds()
    stored = numbers
    if isinstance(column.type, Integer):
        width = _width(column)
        low, high = max(low, -(2**width)), min(high, 2**width - 1)
        is_legal = (numbers >= low) & (numbers <= high)
    else:
        item = column.type.item_type if isinstance(column.type, ARRAY) else column.type
        with np.errstate(over="ignore"):  # too large for the column becomes infinite: refused
            stored = numbers.astype(np.float32 if isinstance(item, REAL) else np.float64)
        is_legal = np.isfinite(stored) & (stored >= low) & (stored <= np.float32(high))
    _refuse_first(
        batch,
        ~is_legal,
        where,
        lambda i: f"{field} is {numbers[i]}, expected {_range(low, high)}",
    )


def _width(column: Column[Any]) -> int:
    if isinstance(column.type, SmallInteger):
        return 15
    return 63 if isinstance(column.type, BigInteger) else 31


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
        for row, text in zip(where, values.to_pylist(), strict=True):
            try:
                json.loads(text)
            except json.JSONDecodeError as error:
                raise batch.refuse(int(row), f"{field} is not JSON ({error})") from None


def _refuse_first(batch: Batch, is_bad: np.ndarray, where: np.ndarray, say: Any) -> None:
    if is_bad.any():
        first = int(np.flatnonzero(is_bad)[0])
        raise batch.refuse(int(where[first]), say(first))


class _DenseKeys:
    """Every feature of a layer exactly once, in each regime or skill."""

    def __init__(self, name: str, known: Known) -> None:
        self.name, self.known = name, known
        self.group = next(
            (field for field in expected_columns(table_of(name)) if field in ("regime", "skill")),
            None,
        )
        self.seen: dict[str, np.ndarray] = {}
        self.place = np.full(max(known.layers) + 1, -1)
        self.place[list(known.layers)] = np.arange(len(known.layers))

    def add(self, batch: Batch) -> None:
        layer = self.place[batch.column("layer").to_numpy(zero_copy_only=False)]
        feature = batch.column("feature").to_numpy(zero_copy_only=False)
        key = layer.astype(np.int64) * self.known.d_sae + feature
        groups = batch.column(self.group).to_numpy(zero_copy_only=False) if self.group else None
        for group in sorted(set(groups)) if groups is not None else [""]:
            rows = np.flatnonzero(groups == group) if groups is not None else np.arange(len(key))
            size = len(self.known.layers) * self.known.d_sae
            seen = self.seen.setdefault(group, np.zeros(size, bool))
            is_double = seen[key[rows]] | pd.Series(key[rows]).duplicated().to_numpy()
            if is_double.any():
                row = int(rows[np.flatnonzero(is_double)[0]])
                raise batch.refuse(row, f"the key {self._say(group, key[row])} comes twice")
            seen[key[rows]] = True

    def verify(self, folder: Path) -> None:
        """Whole layers only; where every feature is needed, all layers."""
        if self.name == "decoder_cosine" and "text" not in self.seen:
            raise ValueError(
                f"{folder}: {self.name} has no rows of the regime text, which every run needs."
            )
        for group, seen in self.seen.items():
            by_layer = seen.reshape(len(self.known.layers), self.known.d_sae)
            is_needed = self.name in REQUIRED and group in ("", "text")
            gaps = ~by_layer.all(1) & (is_needed | by_layer.any(1))
            if gaps.any():
                gap = int(np.flatnonzero(gaps)[0])
                feature = int(np.flatnonzero(~by_layer[gap])[0])
                raise ValueError(
                    f"{folder}: {self.name} has {int(by_layer[gap].sum())} of "
                    f"{self.known.d_sae} features for layer {self.known.layers[gap]}"
                    f"{f' of {self.group} {group}' if group else ''}; the first missing is "
                    f"{feature}. Every feature needs its row: build the stage again."
                )

    def _say(self, group: str, key: int) -> str:
        layer, feature = divmod(int(key), self.known.d_sae)
        said = f"{self.group} {group}, " if group else ""
        return f"({said}layer {self.known.layers[layer]}, feature {feature})"


class _SparseKeys:
    """No two rows with the same key."""

    def __init__(self, name: str) -> None:
        table = table_of(name)
        by_column = {column.name: field for field, column in expected_columns(table).items()}
        uniques = [
            table.primary_key,
            *(c for c in table.constraints if isinstance(c, UniqueConstraint)),
        ]
        columns = [[c.name for c in unique.columns if c.name != "run_id"] for unique in uniques]
        self.keys = [
            [by_column[name] for name in names]
            for names in columns
            if all(name in by_column for name in names)
        ]
        self.parts: list[tuple[Batch, pd.DataFrame]] = []

    def add(self, batch: Batch) -> None:
        fields = sorted({field for key in self.keys for field in key})
        frame = pd.DataFrame({field: batch.column(field).to_pandas() for field in fields})
        self.parts.append((batch._replace(rows=batch.rows.slice(0, 0)), frame))

    def verify(self, folder: Path) -> None:
        if not self.parts:
            return
        rows = pd.concat([frame for _, frame in self.parts], ignore_index=True)
        for key in self.keys:
            is_double = rows.duplicated(key).to_numpy()
            if not is_double.any():
                continue
            double = int(np.flatnonzero(is_double)[0])
            said = ", ".join(f"{field} {rows[field].iloc[double]}" for field in key)
            row = double
            for batch, frame in self.parts:
                if row < len(frame):
                    raise batch.refuse(row, f"the key ({said}) comes twice")
                row -= len(frame)
