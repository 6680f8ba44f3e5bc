"""Rows of a run folder's tables: which tables there are, their columns, their rows by batch.

The columns are declared once, in `models`; the files of a run have the same ones, except that
words and local numbers stand where the database has ids of its own.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from sqlalchemy import ARRAY, Column, Table

from feature_atlas.etl.run_folder.manifest import FileEntry, Manifest
from feature_atlas.etl.run_folder.run_files import open_table_file, unreadable
from feature_atlas.models import Base
from feature_atlas.models.base import SCHEMA, fact_tables

FACTS = tuple(fact_tables())
PARTITIONED = tuple(t.name for t in FACTS if t.dialect_options["postgresql"]["partition_by"])
"""Facts about every feature, or nearly: a partition per run, which publishing attaches whole."""
DENSE = tuple(
    t.name
    for t in FACTS
    if t.name in PARTITIONED and not any(isinstance(c.type, ARRAY) for c in t.columns)
)
"""Of these, the ones with a row for each and of fixed width."""
SPARSE = tuple(t.name for t in FACTS if t.name not in DENSE)
"""Facts about some features, samples or heads."""
WHAT = ("image", "sample")  # what the facts refer to, by local numbers
REQUIRED = ("decoder_cosine", "visual_energy", "selection")

REGIMES = ("text", "image", "full", "random", "refit", "language", "instruct")
BATCH = 32_768  # rows of a dense table in memory at a time: a layer of the paper's
SPARSE_BATCH = 4_096  # of the others: pictures and texts are long

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


def read_batches(folder: Path, manifest: Manifest, file: FileEntry) -> Iterator[Batch]:
    """The rows of one file, some at a time."""
    path, first = folder / file.path, 0
    said = manifest.params(file.stage)
    size = BATCH if file.table in DENSE else SPARSE_BATCH
    batches = open_table_file(folder, file).iter_batches(batch_size=size)
    while True:
        try:
            rows = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(path, error) from None
        if rows is None:
            return
        yield Batch(path, first, _with_defaults(rows, table_of(str(file.table)), said))
        first += rows.num_rows


def batches_of(path: Path, rows: pa.Table, name: str) -> Iterator[Batch]:
    """Rows that a file of this name will hold, some at a time."""
    first = 0
    for part in rows.to_batches(max_chunksize=BATCH if name in DENSE else SPARSE_BATCH):
        yield Batch(path, first, _with_defaults(part, table_of(name), {}))
        first += part.num_rows


def default_of(column: Column[Any]) -> str | None:
    """The word that stands for a column in files written before the table had it."""
    return getattr(column.server_default, "arg", None) if column.primary_key else None


def _with_defaults(rows: pa.RecordBatch, table: Table, said: Mapping[str, Any]) -> pa.RecordBatch:
    """Words for columns that came later: what the stage was asked, if it says so."""
    for field, column in expected_columns(table).items():
        word = default_of(column)
        if word is not None and field not in rows.schema.names:
            word = said[field] if isinstance(said.get(field), str) else word
            rows = rows.append_column(field, pa.repeat(pa.scalar(word), rows.num_rows))
    return rows
