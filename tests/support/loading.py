"""What tests of the loader look at: what is in the database, and what a bad folder is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from feature_atlas.etl.run_folder.manifest import read_manifest
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.progress import silent
from feature_atlas.etl.warehouse.verification import verify


def count(engine: Engine, table: str) -> int:
    """Rows of a table."""
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


def staging_tables(engine: Engine) -> list[str]:
    """Tables that are not published yet."""
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'atlas_staging' ORDER BY 1"
    with engine.connect() as connection:
        return list(connection.scalars(text(query)))


def states(engine: Engine) -> list[str]:
    """States of all runs, oldest first."""
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT state FROM atlas.run ORDER BY id")))


def contents(engine: Engine) -> dict[str, int]:
    """Every table of the atlas, partitions and staging included, with its number of rows."""
    query = """
        SELECT schemaname || '.' || tablename FROM pg_tables
        WHERE schemaname IN ('atlas', 'atlas_staging')
    """
    with engine.connect() as connection:
        tables = connection.scalars(text(query)).all()
        return {
            table: int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)
            for table in tables
        }


def refusal(folder: Path, engine: Engine) -> str:
    """What the loader says of a bad folder, with a database and without; nothing comes of it."""
    before = contents(engine)
    with pytest.raises((ValueError, FileNotFoundError)) as dry:
        verify(folder, read_manifest(folder), silent)

    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        ingest(folder, engine)

    assert str(refused.value) == str(dry.value)
    assert contents(engine) == before
    return str(refused.value)


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit the manifest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def entry(manifest: dict[str, Any], table: str) -> dict[str, Any]:
    """The manifest's entry of a table's file."""
    found: dict[str, Any] = next(f for f in manifest["files"] if f.get("table") == table)
    return found
