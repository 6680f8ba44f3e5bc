"""manifest.json of an edition: what it is an edition of, and every other file with its sha256."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from feature_atlas.etl.bridges.edition.credit import Credit
from feature_atlas.etl.bridges.exported_run import ExportedRun
from feature_atlas.etl.run_folder.artifacts import file_sha256
from feature_atlas.etl.run_folder.manifest import DatasetEntry
from feature_atlas.etl.warehouse.staging import Connection


class ListedFile(NamedTuple):
    """One file of an edition."""

    path: str
    """Below the folder, with slashes."""
    bytes: int
    sha256: str
    rows: int | None
    """Of a table's file, or of all tables together; none: no rows are in it."""


def listed_files(folder: Path, run: ExportedRun, rows: dict[str, int]) -> list[ListedFile]:
    """Every file that is there by now, by its path."""
    n_rows = {f"parquet/{table}.parquet": n for table, n in rows.items()}
    n_rows[f"{run.slug}.duckdb"] = sum(rows.values())
    found = {
        file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()
    }
    return [
        ListedFile(path, file.stat().st_size, file_sha256(file), n_rows.get(path))
        for path, file in sorted(found.items())
    ]


def write_manifest(
    folder: Path,
    connection: Connection,
    run: ExportedRun,
    said: Credit,
    datasets: list[DatasetEntry],
    files: list[ListedFile],
) -> None:
    """The last file of all; it does not name itself."""
    manifest = {
        "edition": run.slug,
        **_origin(connection, run.id),
        "written_by": f"feature-atlas {version('feature-atlas')}, duckdb {version('duckdb')}",
        "authors": said.authors,
        "licence": said.licence,
        "data_sets": [entry.model_dump(exclude={"key", "kind"}) for entry in datasets],
        "files": [file._asdict() for file in files],
    }
    text = json.dumps(manifest, indent=1, default=str, ensure_ascii=False)
    (folder / "manifest.json").write_text(f"{text}\n", encoding="utf-8")


def _origin(connection: Connection, run_id: int) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(ORIGIN, (run_id,)).fetchone() or {}


ORIGIN = """
SELECT
    vlm.name AS vlm, vlm.revision AS vlm_revision, sae_set.release AS sae_release,
    run.config_hash, run.checksum, run.code_version, run.dirty, run.published_at,
    (SELECT version_num FROM atlas.alembic_version) AS schema_revision,
    now() AS exported_at
FROM atlas.run
JOIN atlas.vlm ON vlm.id = run.vlm_id
JOIN atlas.sae_set ON sae_set.id = run.sae_set_id
WHERE run.id = %s
"""
