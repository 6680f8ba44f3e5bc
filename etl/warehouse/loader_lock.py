"""One loader of a run at a time: a lock in the database that goes when its process ends.

Whoever changes a run's rows, or its tables in `atlas_staging`, holds it. That is also how a loader
tells tables that are in use from those that a dead one left.
"""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from feature_atlas.etl.warehouse.staging import Connection

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2


class Holder(NamedTuple):
    """The session that holds a run's lock."""

    backend: int
    """Process id of the session in the database server."""
    application: str
    """What it calls itself; a loader names its own process and machine."""
    user: str
    """Role it connected as."""
    host: str
    """Address it connected from."""
    since: str
    """When it connected."""

    def __str__(self) -> str:
        return (
            f"{self.application or 'an unnamed program'} (user {self.user}, from {self.host}, "
            f"since {self.since}, session {self.backend} of the database server)"
        )


@contextmanager
def loader_lock(
    connection: Connection, config_hash: str, slug: str, *, wait: bool = False
) -> Iterator[None]:
    """Hold a run's lock; if another has it, refuse, or wait if asked."""
    _introduce(connection)
    if not _take(connection, config_hash):
        who = holder(connection, config_hash) or "it ended just now"
        if not wait:
            raise RuntimeError(
                f"another process is loading {slug} at this moment: {who}. Run the same command "
                "when it has ended, or add --wait: it then finds the run published, or loads it."
            )
        log.warning("waiting for another process that is loading %s: %s", slug, who)
        while not _take(connection, config_hash):
            time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        _release(connection, config_hash)
        _forget_name(connection)


@contextmanager
def try_loader_lock(connection: Connection, config_hash: str) -> Iterator[bool]:
    """Whether nobody else loads the run; while this lasts nobody else begins to."""
    is_ours = _take(connection, config_hash)
    try:
        yield is_ours
    finally:
        if is_ours:
            _release(connection, config_hash)


def holder(connection: Connection, config_hash: str) -> Holder | None:
    """Who holds a run's lock; none if it is free."""
    row = connection.execute(
        "SELECT pid, application_name, coalesce(usename, '?'),"
        " coalesce(host(client_addr), 'this machine'),"
        " coalesce(to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'), '?')"
        " FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " JOIN pg_database ON pg_database.oid = pg_locks.database"
        " WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND pg_database.datname = current_database()"
        " AND (classid::bigint << 32) | objid::bigint = %s",
        (lock_key(config_hash),),
    ).fetchone()
    connection.commit()
    return None if row is None else Holder(*row)


def lock_key(config_hash: str) -> int:
    """The number of a run's lock: 60 bits of its hash."""
    return int(config_hash[:15], 16)


def _introduce(connection: Connection) -> None:
    """Say who we are, for those who find the lock taken."""
    words = f"feature-atlas ingest, process {os.getpid()} on {socket.gethostname()}"
    connection.execute("SELECT set_config('application_name', %s, false)", (words[:63],))
    connection.commit()


def _forget_name(connection: Connection) -> None:
    """The connection returns to its pool, where it may serve something else."""
    if not connection.closed:
        connection.execute("RESET application_name")
        connection.commit()


def _take(connection: Connection, config_hash: str) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (lock_key(config_hash),)).fetchone()
    connection.commit()
    return row == (True,)


def _release(connection: Connection, config_hash: str) -> None:
    """Give the lock back; where the connection is lost, it is free already."""
    if not connection.closed:
        connection.rollback()
        connection.execute("SELECT pg_advisory_unlock(%s)", (lock_key(config_hash),))
        connection.commit()
