"""Keys of a run folder's rows: none comes twice, and no feature of a dense table is left out.

What it costs: a dense table one byte for every feature of a regime or skill, however many rows;
a sparse table about ten bytes a row while it is read and sixteen more when it is judged.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import UniqueConstraint

from feature_atlas.etl.run_folder.column_kinds import is_text
from feature_atlas.etl.run_folder.table_rows import (
    REQUIRED,
    Batch,
    Known,
    expected_columns,
    table_of,
)


class DenseKeys:
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
        """Take the keys of some rows; none may have come before."""
        layer = self.place[batch.column("layer").to_numpy(zero_copy_only=False)]
        feature = batch.column("feature").to_numpy(zero_copy_only=False)
        key = layer.astype(np.int64) * self.known.d_sae + feature
        for group, rows in self._groups(batch):
            size = len(self.known.layers) * self.known.d_sae
            seen = self.seen.setdefault(group, np.zeros(size, bool))
            is_double = seen[key[rows]] | pd.Series(key[rows]).duplicated().to_numpy()
            if is_double.any():
                row = int(rows[np.flatnonzero(is_double)[0]])
                raise batch.refuse(row, f"the key {self._say(group, key[row])} comes twice")
            seen[key[rows]] = True

    def _groups(self, batch: Batch) -> list[tuple[str, np.ndarray]]:
        """The regimes or skills in some rows, and where each stands."""
        if self.group is None:
            return [("", np.arange(batch.rows.num_rows))]
        words = batch.column(self.group).dictionary_encode()
        codes = words.indices.to_numpy()
        return [
            (word, np.flatnonzero(codes == code))
            for code, word in enumerate(words.dictionary.to_pylist())
        ]

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


class SparseKeys:
    """No two rows with the same key. Of the rows only the keys are kept, words as numbers."""

    def __init__(self, name: str) -> None:
        self.fields = expected_columns(table_of(name))
        self.keys = _unique_fields(name)
        self.columns: dict[str, list[np.ndarray]] = {f: [] for key in self.keys for f in key}
        self.words: dict[str, dict[str, int]] = {}
        self.parts: list[tuple[Batch, int]] = []

    def add(self, batch: Batch) -> None:
        """Take the keys of some rows."""
        self.parts.append((batch._replace(rows=_NOTHING), batch.rows.num_rows))
        for field, parts in self.columns.items():
            values = batch.column(field)
            is_word = is_text(values.type) or self.fields[field].nullable
            numbers = self._encode(field, values) if is_word else values.to_numpy()
            parts.append(_compact(numbers))

    def _encode(self, field: str, values: pa.Array) -> np.ndarray:
        """A number for each word, the same in every batch; one that is missing has its own."""
        known = self.words.setdefault(field, {})
        words = values.dictionary_encode(null_encoding="encode")
        codes = [known.setdefault(word, len(known)) for word in words.dictionary.to_pylist()]
        return np.array(codes, np.int64)[words.indices.to_numpy()]

    def verify(self, folder: Path) -> None:
        """Refuse the first row whose key has come before."""
        for key in self.keys if self.parts else []:
            row = _first_double([np.concatenate(self.columns[field]) for field in key])
            if row is not None:
                raise self._refuse(key, row)

    def _refuse(self, key: list[str], row: int) -> ValueError:
        for number, (batch, n_rows) in enumerate(self.parts):
            if row < n_rows:
                said = ", ".join(f"{field} {self._said(field, number, row)}" for field in key)
                return batch.refuse(row, f"the key ({said}) comes twice")
            row -= n_rows
        raise AssertionError("the row is one that came")

    def _said(self, field: str, part: int, row: int) -> str:
        value = int(self.columns[field][part][row])
        return str(list(self.words[field])[value] if field in self.words else value)


_NOTHING = pa.RecordBatch.from_arrays([], names=[])  # a slice would keep the whole batch alive


def _unique_fields(name: str) -> list[list[str]]:
    """The keys that the table declares, by the names in the files."""
    table = table_of(name)
    by_column = {column.name: field for field, column in expected_columns(table).items()}
    uniques = [table.primary_key, *table.constraints]
    columns = [
        [c.name for c in unique.columns if c.name != "run_id"]
        for unique in dict.fromkeys(uniques)
        if unique is table.primary_key or isinstance(unique, UniqueConstraint)
    ]
    return [
        [by_column[name] for name in names]
        for names in columns
        if all(name in by_column for name in names)
    ]


def _first_double(columns: list[np.ndarray]) -> int | None:
    """The first row whose values have all come before in one row."""
    key = _one_number(columns)
    order = np.sort(key)
    twice = order[1:][order[1:] == order[:-1]]
    if not len(twice):
        return None
    suspects = np.flatnonzero(np.isin(key, twice))
    return int(suspects[pd.Series(key[suspects]).duplicated().to_numpy()][0])


def _compact(numbers: np.ndarray) -> np.ndarray:
    """A copy in as few bytes as hold them."""
    low, high = numbers.min(initial=0), numbers.max(initial=0)
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return numbers.astype(kind)
    return numbers.astype(np.int64)


def _one_number(columns: list[np.ndarray]) -> np.ndarray:
    """One number for each row, the same where all its values are."""
    key, n_before = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        low, high = (int(column.min()), int(column.max())) if len(column) else (0, 0)
        if n_before * (high - low + 1) >= 2**63:  # too many combinations: count what is there
            key, n_before = np.unique(key, return_inverse=True)[1], len(key)
            column, low, high = np.unique(column, return_inverse=True)[1], 0, len(column) - 1
        key = key * (high - low + 1) + (column.astype(np.int64) - low)
        n_before *= high - low + 1
    return key
