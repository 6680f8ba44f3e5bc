"""Rows in PostgreSQL's binary format, read back with the struct module."""

import struct

import numpy as np

from feature_atlas.etl.warehouse.binary_copy import BinaryRows

TYPES = {"h": np.int16, "q": np.int64, "f": np.float32, "?": np.bool_}


def read(content: bytes, codes: str) -> list[list[object]]:
    """Rows of fields; one of length -1 is None."""
    rows, at = [], 0
    while at < len(content):
        (n_fields,) = struct.unpack_from(">h", content, at)
        at += 2
        row: list[object] = []
        for code in codes:
            (size,) = struct.unpack_from(">i", content, at)
            at += 4
            row.append(None if size < 0 else struct.unpack_from(f">{code}", content, at)[0])
            at += max(size, 0)
        assert n_fields == len(codes)
        rows.append(row)
    return rows


def test_missing_values_have_no_bytes_and_all_others_arrive() -> None:
    n, generator = 50, np.random.default_rng(4)
    columns = [
        generator.integers(-99, 99, n).astype(TYPES["h"]),
        generator.integers(0, 2**60, n),
        generator.normal(size=n).astype(TYPES["f"]),
        generator.random(n) < 0.5,
    ]
    masks = [generator.random(n) < share for share in (0.0, 0.3, 0.9, 0.5)]
    rows = BinaryRows([np.dtype(kind) for kind in TYPES.values()], capacity=2 * n)
    masked = [np.ma.masked_array(c, m) for c, m in zip(columns, masks, strict=True)]

    encoded = bytes(rows.encode(masked))
    without = bytes(rows.encode([7, *columns[1:]]))
    none = bytes(rows.encode([masked[0], None, *masked[2:]]))

    expected = [
        [None if m[i] else c[i].item() for c, m in zip(columns, masks, strict=True)]
        for i in range(n)
    ]
    assert read(encoded, "hqf?") == expected
    assert read(none, "hqf?") == [[row[0], None, *row[2:]] for row in expected]
    # the buffer is used again: nothing of the masks is left in it
    assert read(without, "hqf?") == [[7, *(c[i].item() for c in columns[1:])] for i in range(n)]
