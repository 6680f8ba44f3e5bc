"""A small but complete run folder of made-up numbers, for tests of loading and of dashboards.

Two layers of 64 features; every table has rows. The first features of each layer are adapted,
the first of those spatial, and feature 0 of each layer loses accuracy when it is removed.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from made_up.dictionary import sae_set
from made_up.stages import stages
from made_up.vlm import datasets, vlm
from made_up.world import Columns, World, sha256

from feature_atlas.etl.run_folder.table_rows import REQUIRED, WHAT

WARNINGS = ("the stream was short", 'a "quoted", [/braced] one')
STARTED = datetime(2026, 11, 22, 12, tzinfo=UTC)


def write_run_folder(
    folder: Path,
    *,
    seed: int = 0,
    layers: tuple[int, ...] = (0, 1),
    d_sae: int = 64,
    name: str = "synthetic",
) -> Path:
    """Write the folder and return it. Another seed is another run of the same name."""
    world = World(seed, layers, d_sae)
    manifest = _manifest(world, name)
    folder = folder / manifest["slug"]
    for number, (stage, tables) in enumerate(stages(world).items()):
        manifest["measurements"].append(_measurement(number, stage, seed))
        manifest["files"] += _write_tables(folder / stage, tables)
    # stages also leave files that are no table
    (folder / "adapt" / "note.txt").write_text("an SAE would lie here")
    manifest["files"].append({"path": "adapt/note.txt", "stage": "adapt"})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    seal(folder)
    return folder


def _manifest(world: World, name: str) -> dict[str, Any]:
    """What was studied, before any stage has run."""
    config = {"name": name, "seed": world.seed, "layers": list(world.layers)}
    config_hash = sha256(json.dumps(config).encode())
    return {
        "format": 1,
        "slug": f"{name}-{config_hash[:8]}",
        "config": config,
        "config_hash": config_hash,
        "code_version": "0123456789abcdef",
        "dirty": False,
        "vlm": vlm(world),
        "sae_set": sae_set(world),
        "datasets": datasets(),
        "measurements": [],
        "files": [],
    }


def _measurement(number: int, stage: str, seed: int) -> dict[str, Any]:
    """One stage after the other, each nine seconds long."""
    begin = STARTED + timedelta(seconds=10 * number)
    measurement = {
        "stage": stage,
        "params": {"number": number},
        "params_hash": sha256(str(number).encode()),
        "input_fingerprint": f"inputs-of-{stage}",
        "seeds": [seed],
        "device": "cpu",
        "libraries": {"numpy": np.__version__},
        "started_at": begin.isoformat(),
        "finished_at": (begin + timedelta(seconds=9)).isoformat(),
    }
    # the other measurements are of a version that knew no warnings
    return measurement | ({"warnings": list(WARNINGS)} if stage == "adapt" else {})


def _write_tables(folder: Path, tables: dict[str, Columns]) -> list[dict[str, Any]]:
    """Write a stage's tables; the manifest's entries of their files."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for table, columns in tables.items():
        path = folder / f"{table}.0.parquet"
        pq.write_table(pa.table(columns), path, row_group_size=65_536)
        entries.append({"path": f"{folder.name}/{path.name}", "table": table, "stage": folder.name})
    return entries


def seal(folder: Path) -> None:
    """Make the manifest agree with the files, as if the stage had written them so."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        path = folder / entry["path"]
        content = path.read_bytes()
        entry |= {"bytes": len(content), "sha256": sha256(content)}
        if "table" in entry:
            try:
                found = pq.ParquetFile(path)
            except pa.ArrowInvalid:
                continue  # a test broke the file on purpose
            entry["rows"] = found.metadata.num_rows
            entry["columns"] = {field.name: str(field.type) for field in found.schema_arrow}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def keep_required_tables(folder: Path) -> Path:
    """Take from the folder what a run may lack, as if its stages had never run. Returns it."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    kept = [entry for entry in manifest["files"] if entry.get("table") in (*WHAT, *REQUIRED)]
    stages = {entry["stage"] for entry in kept}
    manifest["files"] = kept
    manifest["measurements"] = [one for one in manifest["measurements"] if one["stage"] in stages]
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def table_file(folder: Path, table: str) -> Path:
    """The one file of a table."""
    return next(folder.glob(f"*/{table}.0.parquet"))


def read_rows(folder: Path, table: str) -> pa.Table:
    """What the folder holds of a table."""
    return pq.read_table(table_file(folder, table))


def replace_rows(folder: Path, table: str, rows: pa.Table) -> Path:
    """Other rows for a table, with a manifest that agrees. Returns the file."""
    path = table_file(folder, table)
    pq.write_table(rows, path)
    seal(folder)
    return path


def replace_value(folder: Path, table: str, column: str, row: int, value: Any) -> Path:
    """Another value in one cell, with a manifest that agrees. Returns the file."""
    rows = read_rows(folder, table)
    values = rows[column].to_pylist()
    values[row] = value
    position = rows.column_names.index(column)
    changed = pa.array(values, rows.schema.field(column).type)
    return replace_rows(folder, table, rows.set_column(position, column, changed))
