"""The run's own tables, in the schema atlas_staging: made empty, indexed, dropped.

Part of the loader (`load.py`). No reader sees them; a killed load leaves nothing else.
"""

from pathlib import Path
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql

from feature_atlas.etl.run_folder.manifest import Manifest
from feature_atlas.etl.run_folder.table_rows import WHAT, table_of
from feature_atlas.etl.warehouse.progress import Progress
from feature_atlas.models.base import SCHEMA

STAGING = "atlas_staging"

Connection = psycopg.Connection[tuple[Any, ...]]


class Load(NamedTuple):
    """One run on its way into the database."""

    folder: Path
    """The run folder."""
    manifest: Manifest
    """What the folder says of itself."""
    connection: Connection
    """The one that holds the run's lock."""
    progress: Progress
    """Told of every batch."""
    run_id: int
    """The run in the database."""

    def staged(self, table: str) -> sql.Identifier:
        """The run's own table beside a table of the atlas."""
        return sql.Identifier(STAGING, f"{table}_run_{self.run_id}")

    def run(self, statement: LiteralString, *parts: sql.Composable) -> None:
        """Execute a statement with names and literals filled in."""
        self.connection.execute(sql.SQL(statement).format(*parts))


def in_atlas(table: str) -> sql.Identifier:
    """A table that readers see."""
    return sql.Identifier(SCHEMA, table)


def create_staged(load: Load, table: str) -> None:
    """The run's own table, empty, with the columns and checks of the one in the atlas."""
    staged = load.staged(table)
    load.run(
        "CREATE TABLE {} (LIKE {} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMMENTS)",
        staged,
        in_atlas(table),
    )
    if table not in WHAT and "id" in table_of(table).columns:
        load.run("ALTER TABLE {} DROP COLUMN id", staged)


def index_staged(load: Load, name: str) -> None:
    """Keys, statistics, and the CHECK that spares a scan when attaching.

    References come with `publish`: attaching a table that has them, or dropping it, would lock
    out readers of the tables that it refers to.
    """
    table, staged = table_of(name), load.staged(name)
    with load.connection.transaction():
        load.run("ALTER TABLE {} ADD PRIMARY KEY ({})", staged, _names(table.primary_key))
        for index in table.indexes:
            where = index.dialect_options["postgresql"]["where"]
            condition = sql.SQL("WHERE " + str(where) if where is not None else "")
            kind = sql.Identifier(index.dialect_options["postgresql"]["using"] or "btree")
            load.run("CREATE INDEX ON {} USING {} ({}) {}", staged, kind, _names(index), condition)
        load.run(
            "ALTER TABLE {} ADD CONSTRAINT of_this_run CHECK (run_id = {})",
            staged,
            sql.Literal(load.run_id),
        )
    with load.connection.transaction():
        load.run("ANALYZE {}", staged)


def _names(of: Any) -> sql.Composed:
    """The columns of a key or index."""
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in of.columns)


def drop_staging(connection: Connection, run_id: int) -> None:
    """Drop the run's own tables, whatever is there of them.

    The largest first, each for itself: on a full disk its end makes room for that of the others.
    """
    query = (
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r'"
        " ORDER BY pg_total_relation_size(oid) DESC"
    )
    with connection.transaction():
        names = [name for (name,) in connection.execute(query, (STAGING,)).fetchall()]
    for name in names:
        if name.endswith(f"_run_{run_id}"):
            with connection.transaction():
                connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(STAGING, name)))
