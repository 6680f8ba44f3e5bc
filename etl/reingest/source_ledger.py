"""The ledger of re-ingestion, table `sae_source`: what lies where, and what became of it.

Part of the loader (`load.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Engine, text

REINGEST_LOCK = 0x7265696E67  # "reing": one re-ingestion at a time in a database


class Entry(NamedTuple):
    """One place, as it was when it was last looked at."""

    uri: str
    """Where it lies."""
    kind: str
    """run_folder, sae_lens_folder or llama_scope_folder."""
    fingerprint: str
    """Hash of its content and of the settings it is built with."""
    state: str
    """seen, building, published or broken."""
    error: str | None = None
    """Why it is broken, or what it waits for."""
    run_id: int | None = None
    """The run it became."""


def read_ledger(engine: Engine) -> dict[str, Entry]:
    """Every entry by its place."""
    query = "SELECT uri, kind, fingerprint, state, error, run_id FROM atlas.sae_source"
    with engine.connect() as connection:
        return {row.uri: Entry(*row) for row in connection.execute(text(query))}


def note(engine: Engine, entry: Entry) -> None:
    """Write what is known of a place now."""
    with engine.begin() as connection:
        connection.execute(text(NOTE), entry._asdict())


def note_waiting(engine: Engine, entry: Entry) -> None:
    """It is not all there yet; what became of an earlier state of the place stays known."""
    waiting = f"{NOTE} WHERE sae_source.state IN ('seen', 'building')"
    with engine.begin() as connection:
        connection.execute(text(waiting), entry._asdict())


def note_seen(engine: Engine, uri: str) -> None:
    """This place is as it was."""
    query = "UPDATE atlas.sae_source SET last_seen = now() WHERE uri = :uri"
    with engine.begin() as connection:
        connection.execute(text(query), {"uri": uri})


@contextmanager
def reingestion_lock(engine: Engine) -> Iterator[None]:
    """Hold the lock of re-ingestion; it goes when this process ends, however it ends."""
    with engine.connect() as connection:
        # builds take hours: no transaction may stay open that long
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        key = {"key": REINGEST_LOCK}
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), key):
            raise RuntimeError(
                "another re-ingestion is at work in this database. Wait until it ended, then run "
                "this command again: what is new is still new."
            )
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)


NOTE = """
INSERT INTO atlas.sae_source (uri, kind, fingerprint, state, error, run_id)
VALUES (:uri, :kind, :fingerprint, :state, :error, :run_id)
ON CONFLICT (uri) DO UPDATE SET
    kind = excluded.kind, fingerprint = excluded.fingerprint, state = excluded.state,
    error = excluded.error, run_id = excluded.run_id, last_seen = now()
"""
