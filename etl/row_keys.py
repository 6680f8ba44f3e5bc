"""Keys of a run folder's rows: none comes twice, and no feature of a dense table is left out."""

from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import UniqueConstraint

from feature_atlas.etl.table_rows import REQUIRED, Batch, Known, expected_columns, table_of


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


class SparseKeys:
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
        """Take the keys of some rows."""
        fields = sorted({field for key in self.keys for field in key})
        frame = pd.DataFrame({field: batch.column(field).to_pandas() for field in fields})
        self.parts.append((batch._replace(rows=batch.rows.slice(0, 0)), frame))

    def verify(self, folder: Path) -> None:
        """Refuse the first row whose key has come before."""
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
