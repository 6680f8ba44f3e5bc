"""PostgreSQL's binary COPY format straight from numpy arrays: no Python per row.

A row is a count of fields and, for each, its length and its bytes, most significant first. That
is a numpy structured array with fixed lengths; filled column by column, its bytes are the rows.
A missing value has length -1 and no bytes: a column without any value gets no room for them, from
others those of the missing ones are cut out.
"""

from collections.abc import Sequence

import numpy as np

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"


class BinaryRows:
    """A reused buffer of rows; a column is smallint, integer, bigint, real, double or boolean."""

    def __init__(self, types: Sequence[np.dtype], capacity: int) -> None:
        self.types, self.capacity = types, capacity
        self._make_room([True] * len(types))

    def _make_room(self, has_values: list[bool]) -> None:
        fields: list[tuple[str, np.dtype]] = [("n_fields", np.dtype(">i2"))]
        for number, kind in enumerate(self.types):
            fields.append((f"size_{number}", np.dtype(">i4")))
            if has_values[number]:
                fields.append((f"value_{number}", kind.newbyteorder(">")))
        self._has_values, self._rows = has_values, np.zeros(self.capacity, np.dtype(fields))
        self._rows["n_fields"] = len(self.types)
        for number, kind in enumerate(self.types):
            self._rows[f"size_{number}"] = kind.itemsize if has_values[number] else -1

    def encode(self, columns: Sequence[np.ndarray | int | None]) -> bytes:
        """The bytes of some rows; a plain number stands in every row, None in none.

        What a masked array masks is missing.
        """
        if len(columns) != len(self.types):
            raise ValueError(f"{len(columns)} columns came, expected {len(self.types)}.")
        has_values = [column is not None for column in columns]
        if has_values != self._has_values:
            self._make_room(has_values)
        n = next(len(column) for column in columns if isinstance(column, np.ndarray))
        rows, missing = self._rows[:n], {}
        for number, column in enumerate(columns):
            if column is not None:
                rows[f"value_{number}"] = np.ma.getdata(column)
                if np.ma.is_masked(column):
                    missing[number] = np.ma.getmaskarray(column)
        return self._without(rows, missing) if missing else rows.tobytes()

    def _without(self, rows: np.ndarray, missing: dict[int, np.ndarray]) -> bytes:
        """The bytes of rows some of whose values are missing, a mask by column."""
        content = rows.view(np.uint8).reshape(len(rows), -1).copy()
        is_kept = np.ones(content.shape, bool)
        assert rows.dtype.fields is not None
        for number, is_missing in missing.items():
            at = rows.dtype.fields[f"size_{number}"][1]
            kind, value = rows.dtype.fields[f"value_{number}"][:2]
            content[is_missing, at : at + 4] = 0xFF  # -1
            is_kept[is_missing, value : value + kind.itemsize] = False
        return content[is_kept].tobytes()
