"""Rows of a table, looked at by the stage that writes them and by the loader that reads them."""

from pathlib import Path

import pyarrow as pa

from feature_atlas.etl.run_folder.column_kinds import verify_columns
from feature_atlas.etl.run_folder.row_rules import verify_rules
from feature_atlas.etl.run_folder.row_values import verify_values
from feature_atlas.etl.run_folder.run_files import unreadable
from feature_atlas.etl.run_folder.table_rows import Batch, Known, batches_of


def verify_batch(batch: Batch, name: str, known: Known) -> None:
    """Refuse the first of some rows of a table that may not be loaded."""
    try:
        batch.rows.validate(full=True)
    except pa.ArrowException as error:
        raise unreadable(batch.path, error) from None
    verify_values(batch, name, known)
    verify_rules(batch, name)


def verify_written(path: Path, rows: pa.Table, name: str, known: Known) -> None:
    """Refuse what the loader would refuse, before it is written."""
    verify_columns(path, rows.schema, rows.num_rows, name)
    for batch in batches_of(path, rows, name):
        verify_batch(batch, name, known)
