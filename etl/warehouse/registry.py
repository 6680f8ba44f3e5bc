"""Rows that a run refers to, found or opened: run, vlm, sae_set, dataset, skill, measurement.

Part of the loader (`load.py`).
"""

from typing import Any, NamedTuple

from psycopg import sql
from psycopg.types.json import Jsonb
from sqlalchemy import Column, Table, UniqueConstraint

from feature_atlas.etl.run_folder.manifest import Manifest, MeasurementEntry, VlmEntry
from feature_atlas.etl.run_folder.run_files import open_table_file
from feature_atlas.etl.run_folder.table_rows import expected_columns, table_of
from feature_atlas.etl.warehouse.staging import Connection, Load, in_atlas

Ids = dict[str, dict[Any, int]]
"""Database ids by what the files say: words, local numbers, stages."""

REGISTRY_LOCK = 0x7265676973  # "regis": two loaders never insert one model or dataset at a time


class Found(NamedTuple):
    """A run that the database knows."""

    id: int
    """Its number there."""
    state: str
    """building, published, superseded or failed."""
    checksum: str
    """Hash over the hashes of its files."""


def find_run(connection: Connection, manifest: Manifest) -> Found | None:
    """The run, if the database knows it."""
    query = "SELECT id, state, checksum FROM atlas.run WHERE config_hash = %s"
    found = connection.execute(query, (manifest.config_hash,)).fetchone()
    connection.commit()
    return None if found is None else Found(*found)


def open_run(connection: Connection, manifest: Manifest) -> int:
    """The run as 'building', with what it refers to."""
    with connection.transaction():
        lock_registry(connection)
        values = _run_values(connection, manifest)
        found = _find_run_id(connection, manifest)
        if found is None:
            return _insert(connection, "run", values)
        connection.execute("DELETE FROM atlas.measurement WHERE run_id = %s", (found,))
        assignments = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
            for name in values
        )
        query = sql.SQL("UPDATE atlas.run SET {}, created_at = now() WHERE id = {}")
        connection.execute(query.format(assignments, sql.Literal(found)), values)
        return found


def lock_registry(connection: Connection) -> None:
    """Until the end of this transaction, which is short."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (REGISTRY_LOCK,))


def _run_values(connection: Connection, manifest: Manifest) -> dict[str, Any]:
    return {
        "slug": manifest.slug,
        "config": Jsonb(manifest.config),
        "config_hash": manifest.config_hash,
        "vlm_id": _identify_vlm(connection, manifest.vlm),
        "sae_set_id": _identify(connection, "sae_set", manifest.sae_set.model_dump()),
        "code_version": manifest.code_version,
        "dirty": manifest.dirty,
        "state": "building",
        "n_layers": len(manifest.sae_set.layers),
        "d_sae": manifest.sae_set.d_sae,
        "checksum": manifest.checksum(),
    }


def _find_run_id(connection: Connection, manifest: Manifest) -> int | None:
    query = "SELECT id FROM atlas.run WHERE config_hash = %s FOR UPDATE"
    found = connection.execute(query, (manifest.config_hash,)).fetchone()
    return None if found is None else int(found[0])


def _identify(connection: Connection, table: str, values: dict[str, Any]) -> int:
    """Id of the row with these values, inserted if it is new."""
    unique = [c.name for c in _unique_columns(table_of(table))]
    condition = sql.SQL(" AND ").join(
        sql.SQL("{} IS NOT DISTINCT FROM {}").format(sql.Identifier(name), sql.Placeholder(name))
        for name in unique
    )
    query = sql.SQL("SELECT id FROM {} WHERE {}").format(in_atlas(table), condition)
    found = connection.execute(query, values).fetchone()
    return _insert(connection, table, values) if found is None else int(found[0])


def _identify_vlm(connection: Connection, vlm: VlmEntry) -> int:
    """As `_identify`; the base model's hash is filled in by the first run that has it at hand."""
    number = _identify(connection, "vlm", vlm.model_dump())
    connection.execute(
        "UPDATE atlas.vlm SET base_fingerprint = %s WHERE id = %s AND base_fingerprint IS NULL",
        (vlm.base_fingerprint, number),
    )
    return number


def _unique_columns(table: Table) -> list[Column[Any]]:
    return next(list(c.columns) for c in table.constraints if isinstance(c, UniqueConstraint))


def _insert(connection: Connection, table: str, values: dict[str, Any]) -> int:
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
        in_atlas(table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join(map(sql.Placeholder, values)),
    )
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return int(row[0])


def registry_ids(load: Load) -> Ids:
    """What the rows name, inserted where it is new; a row for every measurement of the run."""
    connection, manifest = load.connection, load.manifest
    lock_registry(connection)
    _insert_skills(load)
    return {
        "regime": dict(connection.execute("SELECT name, id FROM atlas.regime").fetchall()),
        "skill": dict(connection.execute("SELECT name, id FROM atlas.skill").fetchall()),
        "dataset": {
            entry.key: _identify(connection, "dataset", entry.model_dump(exclude={"key"}))
            for entry in manifest.datasets
        },
        "stage": {
            entry.stage: _insert(connection, "measurement", _measurement_values(load, entry))
            for entry in manifest.measurements
        },
    }


def _insert_skills(load: Load) -> None:
    """Skills that are new, and the definition of one that had none: `vsr` never has one."""
    harvest = load.manifest.config.get("harvest")
    definitions = harvest.get("definitions") if isinstance(harvest, dict) else None
    for name in _skills(load):
        known = definitions.get(name) if isinstance(definitions, dict) else None
        load.connection.execute(
            "INSERT INTO atlas.skill (name, definition) VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET definition = excluded.definition"
            " WHERE skill.definition = '{}' AND excluded.definition <> '{}'",
            (name, Jsonb(known or {})),
        )


def _skills(load: Load) -> list[str]:
    """Skills that the rows name, in a stable order."""
    found: set[str] = set()
    for table, entries in load.manifest.tables.items():
        if "skill" in expected_columns(table_of(table)):
            for file in entries:
                words = open_table_file(load.folder, file).iter_batches(columns=["skill"])
                for batch in words:
                    found |= set(batch["skill"].unique().to_pylist())
    return sorted(found)


def _measurement_values(load: Load, entry: MeasurementEntry) -> dict[str, Any]:
    manifest = load.manifest
    return {
        **entry.model_dump(),
        "run_id": load.run_id,
        "params": Jsonb(entry.params),
        "libraries": Jsonb(entry.libraries),
        "inputs": Jsonb(entry.inputs or manifest.studied),
        "code_version": entry.code_version or manifest.code_version,
        "dirty": manifest.dirty if entry.dirty is None else entry.dirty,
        "rows": sum(file.rows for file in manifest.files if file.stage == entry.stage),
        "checksum": manifest.checksum(entry.stage),
    }
