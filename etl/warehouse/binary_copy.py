"""PostgreSQL's binary COPY format straight from numpy arrays: no Python per row.

A row is a count of fields and, for each, its length and its bytes, most significant first. That
is a numpy structured array with fixed lengths; filled column by column, its bytes are the rows.
A missing value has length -1 and no bytes: those are cut out of the array's.
"""

from collections.abc import Sequence

import numpy as np

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"


class BinaryRows:
    """A reused buffer of rows; a column is smallint, integer, bigint, real, double or boolean."""

    def __init__(self, types: Sequence[np.dtype], capacity: int) -> None:
        fields: list[tuple[str, np.dtype]] = [("n_fields", np.dtype(">i2"))]
        for number, kind in enumerate(types):
            fields += [
                (f"size_{number}", np.dtype(">i4")),
                (f"value_{number}", kind.newbyteorder(">")),
            ]
        self._rows = np.zeros(capacity, np.dtype(fields))
        self._rows["n_fields"] = len(types)
        for number, kind in enumerate(types):
            self._rows[f"size_{number}"] = kind.itemsize
        self.n_columns = len(types)

    def encode(self, columns: Sequence[np.ndarray | int]) -> memoryview:
        """The bytes of some rows; a plain number stands in every row. Valid until the next call.

        What a masked array masks is missing.
        """
        if len(columns) != self.n_columns:
            raise ValueError(f"{len(columns)} columns came, expected {self.n_columns}.")
        n = next(len(column) for column in columns if not isinstance(column, int))
        rows, missing = self._rows[:n], {}
        for number, column in enumerate(columns):
            rows[f"value_{number}"] = np.ma.getdata(column)
            if np.ma.is_masked(column):
                missing[number] = np.ma.getmaskarray(column)
        return self._without(rows, missing) if missing else rows.view(np.uint8).data

    def _without(self, rows: np.ndarray, missing: dict[int, np.ndarray]) -> memoryview:
        """The bytes of rows some of whose values are missing, a mask by column."""
        content = rows.view(np.uint8).reshape(len(rows), -1).copy()
        is_kept = np.ones(content.shape, bool)
        assert rows.dtype.fields is not None
        for number, is_missing in missing.items():
            at = rows.dtype.fields[f"size_{number}"][1]
            kind, value = rows.dtype.fields[f"value_{number}"][:2]
            content[is_missing, at : at + 4] = 0xFF  # -1
            is_kept[is_missing, value : value + kind.itemsize] = False
        return content[is_kept].data
