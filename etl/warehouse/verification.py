"""Whether a run folder may be loaded: its files, its tables, their columns, values and keys.

The loader asks before it writes anything; `feature-atlas ingest --dry-run` asks and stops. No
database is needed. Files are read batch by batch.
"""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from feature_atlas.etl.run_folder.column_kinds import verify_columns
from feature_atlas.etl.run_folder.manifest import Manifest
from feature_atlas.etl.run_folder.row_checks import verify_batch
from feature_atlas.etl.run_folder.run_files import FileChecked, open_table_file, verify_files
from feature_atlas.etl.run_folder.table_rows import (
    DENSE,
    REGIMES,
    REQUIRED,
    SPARSE,
    WHAT,
    Known,
    read_batches,
)
from feature_atlas.etl.warehouse.progress import Progress
from feature_atlas.etl.warehouse.row_keys import DenseKeys, SparseKeys
from feature_atlas.etl.warehouse.side_by_side import side_by_side

Tell = Callable[[str, int], None]
"""Told of every batch: the table, and how many of its rows were checked."""


class TableChecked(NamedTuple):
    """A table whose every row may be loaded."""

    table: str
    """Its name."""
    n_files: int
    """Files of the folder that hold its rows."""
    n_rows: int
    """Rows in all of them."""
    n_columns: int
    """Columns of each."""

    @property
    def n_values(self) -> int:
        """Values that were looked at."""
        return self.n_rows * self.n_columns


class Checked(NamedTuple):
    """What a verification looked at and found right."""

    files: list[FileChecked]
    """Every file of the manifest."""
    tables: list[TableChecked]
    """Every table that the folder has files for."""


def verify(folder: Path, manifest: Manifest, progress: Progress) -> Checked:
    """Check everything that can be known of a folder without a database, or say what is wrong."""
    files, n_bytes, total = [], 0, sum(file.bytes for file in manifest.files)
    for file in verify_files(folder, manifest):
        files.append(file)
        n_bytes += file.n_bytes
        progress("hash", n_bytes, total)
    done, total = 0, sum(file.rows for file in manifest.files)

    def tell(_: str, n_rows: int) -> None:
        nonlocal done
        done += n_rows
        progress("verify", done, total)

    verify_tables(folder, manifest, tell)
    return Checked(files, _tables(manifest))


def _tables(manifest: Manifest) -> list[TableChecked]:
    return [
        TableChecked(table, len(files), sum(f.rows for f in files), len(files[0].columns))
        for table, files in sorted(manifest.tables.items())
    ]


def verify_tables(folder: Path, manifest: Manifest, tell: Tell) -> None:
    """Check every row of every table."""
    _verify_names(folder, manifest.tables)
    _verify_sizes(folder, manifest)
    verify_rows(folder, manifest, (*WHAT, *DENSE, *SPARSE), tell)


def verify_rows(
    folder: Path, manifest: Manifest, tables: Sequence[str], tell: Tell = lambda *_: None
) -> None:
    """Check every row of some tables, two at a time; what rows refer to comes first."""
    numbers = {"dataset": np.array([d.key for d in manifest.datasets], np.int64)}
    known = Known(
        tuple(manifest.sae_set.layers), manifest.sae_set.d_sae, {"regime": REGIMES}, numbers
    )

    def work(_: int, table: str) -> Generator[int, None, None]:
        yield from _verify_table(folder, manifest, table, known)

    side_by_side([0], work, [table for table in WHAT if table in tables], tell)
    side_by_side([0, 1], work, [table for table in tables if table not in WHAT], tell)


def _verify_names(folder: Path, names: Collection[str]) -> None:
    unknown = sorted(set(names) - {*DENSE, *SPARSE, *WHAT})
    if unknown:
        raise ValueError(
            f"{folder / 'manifest.json'} lists files for unknown tables {unknown}; "
            f"known are {sorted({*DENSE, *SPARSE, *WHAT})}. The folder was written by another "
            "version, or the file is damaged: build the run again."
        )
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise ValueError(
            f"{folder / 'manifest.json'} lists no rows for {', '.join(missing)}: every run needs "
            "them. Finish the run with `feature-atlas build`."
        )


def _verify_sizes(folder: Path, manifest: Manifest) -> None:
    """Refuse a number of features that the rows are far from, before memory is taken for them."""
    layers, d_sae = len(manifest.sae_set.layers), manifest.sae_set.d_sae
    for name in REQUIRED:
        n_rows = sum(file.rows for file in manifest.tables[name])
        if 2 * n_rows < layers * d_sae:
            raise ValueError(
                f"{folder / 'manifest.json'} says {layers} layers of {d_sae} features and "
                f"{n_rows} rows of {name}, expected {layers * d_sae}: parts of two runs, or "
                "a damaged file. Build the run again."
            )


def _verify_table(folder: Path, manifest: Manifest, name: str, known: Known) -> Iterator[int]:
    """One table; the local numbers of images and samples are known to the tables after it."""
    keys = DenseKeys(name, known) if name in DENSE else SparseKeys(name)
    local = []
    for file in manifest.tables.get(name, []):
        schema = open_table_file(folder, file).schema_arrow
        verify_columns(folder / file.path, schema, file.rows, name)
        for batch in read_batches(folder, manifest, file):
            verify_batch(batch, name, known)
            keys.add(batch)
            if name in WHAT:
                local.append(batch.column(name).to_numpy(zero_copy_only=False))
            yield batch.rows.num_rows
    keys.verify(folder)
    if name in WHAT:
        known.numbers[name] = np.concatenate(local) if local else np.empty(0, np.int64)
