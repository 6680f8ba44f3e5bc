"""Whether the rows of a run folder may be loaded: its tables, their columns, values and keys.

The loader asks before it writes anything. Files are read batch by batch.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from feature_atlas.etl.column_kinds import verify_columns
from feature_atlas.etl.manifest import Manifest
from feature_atlas.etl.row_keys import DenseKeys, SparseKeys
from feature_atlas.etl.row_values import verify_values
from feature_atlas.etl.table_rows import (
    DENSE,
    REGIMES,
    REQUIRED,
    SPARSE,
    WHAT,
    Known,
    read_batches,
)


def verify_tables(folder: Path, manifest: Manifest) -> Iterator[int]:
    """Check every row of every table; yields the number of rows checked, batch by batch."""
    _verify_names(folder, manifest.tables)
    numbers = {"dataset": np.array([d.key for d in manifest.datasets], np.int64)}
    known = Known(
        tuple(manifest.sae_set.layers), manifest.sae_set.d_sae, {"regime": REGIMES}, numbers
    )
    for name in (*WHAT, *DENSE, *SPARSE):
        yield from _verify_table(folder, manifest, name, known)


def _verify_names(folder: Path, names: Collection[str]) -> None:
    unknown = sorted(set(names) - {*DENSE, *SPARSE, *WHAT})
    if unknown:
        raise ValueError(
            f"{folder / 'manifest.json'} lists files for unknown tables {unknown}; "
            f"known are {sorted({*DENSE, *SPARSE, *WHAT})}."
        )
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise ValueError(
            f"{folder / 'manifest.json'} lists no rows for {', '.join(missing)}: every run needs "
            "them. Finish the run with `feature-atlas build`."
        )


def _verify_table(folder: Path, manifest: Manifest, name: str, known: Known) -> Iterator[int]:
    """One table; the local numbers of images and samples are known to the tables after it."""
    keys = DenseKeys(name, known) if name in DENSE else SparseKeys(name)
    local = []
    for file in manifest.tables.get(name, []):
        verify_columns(folder, file, name)
        for batch in read_batches(folder, file):
            verify_values(batch, name, known)
            keys.add(batch)
            if name in WHAT:
                local.append(batch.column(name).to_numpy(zero_copy_only=False))
            yield batch.rows.num_rows
    keys.verify(folder)
    if name in WHAT:
        known.numbers[name] = np.concatenate(local) if local else np.empty(0, np.int64)
