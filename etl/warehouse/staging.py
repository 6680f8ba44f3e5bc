"""The run's own tables, in the schema atlas_staging: made empty, claimed, dropped.

Part of the loader (`load.py`). No reader sees them; a killed load leaves nothing else.
"""

from contextlib import suppress
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
    beside: Connection | None = None
    """One more, to work on at the same time."""
    holder: int | None = None
    """Session that holds the run's lock, where this connection's own does not."""

    def lanes(self) -> list["Load"]:
        """This load on each of its connections."""
        if self.beside is None:
            return [self]
        session = self.connection.info.backend_pid
        return [self, self._replace(connection=self.beside, beside=None, holder=session)]

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
    if "run_id" in table_of(table).columns:
        # spares a scan when the table is attached
        load.run(
            "ALTER TABLE {} ADD CONSTRAINT of_this_run CHECK (run_id = {})",
            staged,
            sql.Literal(load.run_id),
        )
    if table not in WHAT and "id" in table_of(table).columns:
        load.run("ALTER TABLE {} DROP COLUMN id", staged)


def claim(load: Load, table: str) -> None:
    """Keep a table of the run from being dropped until the transaction ends.

    Where the run's lock is another session's, and that has ended, the table may be one that the
    next loader made.
    """
    load.run("LOCK TABLE {} IN ACCESS SHARE MODE", load.staged(table))
    if load.holder is None:
        return
    held = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = %s"
    if load.connection.execute(held, (load.holder,)).fetchone() is None:
        raise psycopg.OperationalError("the session that holds the lock of the run has ended")


def interrupt(load: Load) -> None:
    """End the statement that the load's connection is at, if the server can still be reached."""
    with suppress(psycopg.Error):
        load.connection.cancel_safe()


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
