"""The folder of an addition: what a published run gets later, in the form of a run folder.

    manifest.json    as a run's, with "adds_to": the config_hash of the run it is for;
                     vlm and sae_set are that run's; measurements and files are only the new ones
    <stage>/*.parquet    rows, in the columns of a run folder; `image` and `sample` too where
                     the rows name samples

`docs/runs.md` says more.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql
from psycopg.rows import dict_row

from feature_atlas.etl.run_folder.artifacts import file_sha256
from feature_atlas.etl.run_folder.column_kinds import as_declared
from feature_atlas.etl.run_folder.manifest import (
    DatasetEntry,
    FileEntry,
    Manifest,
    MeasurementEntry,
    SaeSetEntry,
    VlmEntry,
    read_manifest,
)
from feature_atlas.etl.run_folder.provenance import code_version
from feature_atlas.etl.run_folder.table_rows import PARTITIONED, SPARSE, WHAT
from feature_atlas.etl.warehouse.staging import Connection, in_atlas

FIRST = ("forward_check", "gate_check", "training_curve", "role_energy")
"""Sparse tables of what a run starts from."""

ADDABLE = (*(t for t in SPARSE if t not in (*FIRST, *PARTITIONED)), "firing_shift")
"""Tables that a published run can get rows for; it has the others from its first publication."""


def read_addition(folder: Path) -> Manifest:
    """The manifest of an addition, or an error that says why it is none."""
    manifest, path = read_manifest(folder), folder / "manifest.json"
    if manifest.adds_to is None:
        raise ValueError(
            f"{path} has no adds_to, expected the config_hash of the run it adds to. A whole run "
            "is loaded with `feature-atlas ingest`."
        )
    if not manifest.measurements:
        raise ValueError(f"{path} has no measurements: there is nothing to add.")
    alien = sorted(set(manifest.tables) - {*ADDABLE, *WHAT})
    if alien:
        raise ValueError(
            f"{path} has rows for {', '.join(alien)}, which a run has from its first publication "
            f"or not at all; rows can be added to {', '.join(ADDABLE)}. Build a new run instead."
        )
    return manifest


def write_addition(
    folder: Path,
    run: Manifest,
    entry: MeasurementEntry,
    rows: Mapping[str, pa.Table],
    datasets: Sequence[DatasetEntry] = (),
) -> Path:
    """Write the folder of one measurement with its rows by table; returns the folder."""
    if Path(entry.stage).name != entry.stage or entry.stage == "..":
        raise ValueError(
            f"the stage is called {entry.stage!r}: expected the name of one folder, without a path."
        )
    (folder / entry.stage).mkdir(parents=True)
    files = [_write_table(folder, entry.stage, table, some) for table, some in rows.items()]
    update = {"measurements": [entry], "files": files, "datasets": list(datasets)}
    manifest = run.model_copy(update=update)
    (folder / "manifest.json").write_text(
        json.dumps(manifest.model_dump(mode="json"), indent=1), encoding="utf-8"
    )
    return folder


def _write_table(folder: Path, stage: str, table: str, rows: pa.Table) -> FileEntry:
    path = folder / stage / f"{table}.0.parquet"
    rows = as_declared(path, table, dict(zip(rows.column_names, rows.columns, strict=True)))
    pq.write_table(rows, path, compression="zstd")
    return FileEntry(
        path=f"{stage}/{path.name}",
        stage=stage,
        bytes=path.stat().st_size,
        sha256=file_sha256(path),
        table=table,
        rows=rows.num_rows,
        columns={field.name: str(field.type) for field in rows.schema},
    )


def empty_addition(connection: Connection, run_id: int) -> Manifest:
    """The manifest of an addition to this run, as yet without measurements and files."""
    row = _row(connection, "run", run_id)
    vlm = _row(connection, "vlm", row["vlm_id"])
    sae_set = _row(connection, "sae_set", row["sae_set_id"])
    commit, dirty = code_version()
    return Manifest(
        format=1,
        slug=row["slug"],
        config=row["config"],
        config_hash=row["config_hash"],
        adds_to=row["config_hash"],
        code_version=commit,
        dirty=dirty,
        vlm=VlmEntry(**{name: vlm[name] for name in VlmEntry.model_fields}),
        sae_set=SaeSetEntry(**{name: sae_set[name] for name in SaeSetEntry.model_fields}),
        datasets=[],
        measurements=[],
        files=[],
    )


def _row(connection: Connection, table: str, number: int) -> dict[str, Any]:
    query = sql.SQL("SELECT * FROM {} WHERE id = %s").format(in_atlas(table))
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query, (number,)).fetchone()
    if row is None:
        raise ValueError(f"no {table} {number} in the atlas; `feature-atlas runs` lists what is.")
    return row
