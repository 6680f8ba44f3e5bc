"""Remove one run: its facts, its measurements, its own row. One transaction: all of it or nothing.

    delete    rows of the tables that all runs share; holds up nobody
    relink    its children get its parent; where it was the published run, the one before steps up
    drop      its partitions, then its measurements and its row

To drop a partition Postgres wants the tables for itself, and every query that arrives meanwhile
waits behind. So that is tried for a moment at a time, and given up while a reader keeps a
transaction open. Images and samples stay: other runs share them, and a run that is loaded again
finds them. Killed at any moment, nothing has happened; the same command starts anew.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import psycopg
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    ForeignKeyConstraint,
    Table,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.exc import DBAPIError, OperationalError

from feature_atlas.etl.warehouse.loader_lock import holder, lock_key
from feature_atlas.etl.warehouse.promote import lock_publication, seen_run, stable_run
from feature_atlas.etl.warehouse.publish import LATEST
from feature_atlas.etl.warehouse.runs import count_rows, resolve_run
from feature_atlas.etl.warehouse.staging import Connection as Driver
from feature_atlas.etl.warehouse.staging import drop_staging
from feature_atlas.models import Base, Run
from feature_atlas.models.base import SCHEMA

MOMENT = "300ms"
"""How long readers may be held up by one attempt to take the tables."""
PAUSE = 0.7
"""Seconds between attempts, in which readers go on."""
PATIENCE = 20.0
"""Seconds after which the drop is given up."""

RUN = cast(Table, Run.__table__)


class DropReport(NamedTuple):
    """What a drop removed, and what readers see after it."""

    slug: str
    """The run that is gone."""
    rows: dict[str, int]
    """Rows removed by table."""
    relinked: list[str]
    """Runs whose parent it was; they have its parent now."""
    stepped_up: str | None
    """The superseded run of its lineage that is published in its place."""
    readers_see: str | None
    """The run that readers see who do not name one; None: no run is published."""


def drop_run(engine: Engine, named: str, *, confirmed: bool = False) -> DropReport:
    """Remove a run for good; ``confirmed`` where readers or people's work are concerned."""
    with _naming_who_needs_it(named), engine.begin() as connection:
        run = resolve_run(connection, named)
        _only_user(connection, run.config_hash, run.slug)
        _require_released(connection, run.slug)
        if not confirmed:
            _ask(connection, run.id)
        rows = count_rows(connection, run.id)
        delete_rows(connection, run.id)
        lock_publication(connection)
        _require_released(connection, run.slug)  # it may have been promised meanwhile
        if not confirmed:
            _ask(connection, run.id)  # it may have been published meanwhile
        stepped_up = connection.scalar(text(STEP_UP), {"run": run.id})
        relinked = list(connection.scalars(text(RELINK), {"run": run.id}))
        _take_tables(connection, run.slug)
        _drop_tables(connection, run.id)
        _delete_run(connection, run.id)
        return DropReport(run.slug, rows, relinked, stepped_up, seen_run(connection))


@contextmanager
def _naming_who_needs_it(named: str) -> Iterator[None]:
    """What others built on the run's rows is theirs, and not dropped with it."""
    try:
        yield
    except DBAPIError as error:
        needed = (psycopg.errors.DependentObjectsStillExist, psycopg.errors.ForeignKeyViolation)
        if not isinstance(error.orig, needed):
            raise
        said = (error.orig.diag.message_detail or str(error.orig)).strip().replace("\n", "; ")
        raise RuntimeError(
            f"{named} was not dropped, nothing was changed: others built on its own tables or rows "
            f"({said}). Drop that first, or have it read the tables of all runs, such as "
            f"{SCHEMA}.decoder_cosine with a run_id."
        ) from None


def delete_rows(connection: Connection, run_id: int) -> None:
    """Delete what refers to the run in the tables without partitions, referring tables first."""
    belongs: dict[Table, ColumnElement[bool]] = {RUN: RUN.c.id == run_id}
    for table in Base.metadata.sorted_tables:
        if table is not RUN and (references := _references(table, belongs)):
            belongs[table] = or_(*(_refers(key, belongs) for key in references))
    for table in reversed(belongs):
        if not _is_partitioned(table) and table.name not in ("run", "measurement"):
            connection.execute(table.delete().where(belongs[table]))


def _references(table: Table, belongs: dict[Table, Any]) -> list[ForeignKeyConstraint]:
    """How a table's rows belong to a run: by its number, else by what they refer to.

    References with ON DELETE are the database's own business.
    """
    keys = [
        key
        for key in table.foreign_key_constraints
        if key.referred_table in belongs and key.ondelete is None
    ]
    return [key for key in keys if key.referred_table is RUN] or keys


def _refers(
    key: ForeignKeyConstraint, belongs: dict[Table, ColumnElement[bool]]
) -> ColumnElement[bool]:
    wanted = select(*(element.column for element in key.elements))
    return tuple_(*key.columns).in_(wanted.where(belongs[key.referred_table]))


def _is_partitioned(table: Table) -> bool:
    return bool(table.dialect_options["postgresql"]["partition_by"])


def _only_user(connection: Connection, config_hash: str, slug: str) -> None:
    """Nobody may load the run, add to it or drop it at this moment."""
    key = lock_key(config_hash)
    if not connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": key}):
        who = holder(cast(Driver, connection.connection.driver_connection), config_hash)
        raise RuntimeError(
            f"{slug} was not dropped: another process is loading it, adding to it or dropping it "
            f"at this moment: {who or 'it ended just now'}. Run the same command when it has ended."
        )


def _require_released(connection: Connection, slug: str) -> None:
    """Readers rely on the stable run: no confirmation is enough."""
    if stable_run(connection) == slug:
        raise ValueError(
            f"{slug} was not dropped: it is the stable run, which readers are promised to find. "
            "Name another with `feature-atlas runs promote --stable RUN`, or take the promise "
            f"back with `feature-atlas runs release {slug}`."
        )


def _ask(connection: Connection, run_id: int) -> None:
    """Refuse where a confirmation is due, and say why."""
    facts = connection.execute(text(AT_STAKE), {"run": run_id}).one()
    reasons = []
    if facts.state == "published":
        reasons.append("it is the published run of its lineage, which readers see")
    if facts.n_reviews:
        reasons.append(f"{facts.n_reviews} reviews that people wrote would be lost")
    if facts.n_added:
        reasons.append(f"{facts.n_added} measurements were added to it after its publication")
    if reasons:
        raise ValueError(
            f"{facts.slug} was not dropped: {'; '.join(reasons)}. Say --yes to drop it anyway."
        )


def _take_tables(connection: Connection, slug: str) -> None:
    """The tables for this transaction alone, as soon as no reader is in them."""
    parents = [table for table in Base.metadata.sorted_tables if _is_partitioned(table)]
    referred = {key.referred_table for table in parents for key in table.foreign_key_constraints}
    tables = [t for t in Base.metadata.sorted_tables if t in referred or t in parents]
    names = ", ".join(f"ONLY {SCHEMA}.{table.name}" for table in tables)
    deadline = time.monotonic() + PATIENCE
    while not _take(connection, names):
        if time.monotonic() > deadline:
            raise RuntimeError(_in_the_way(connection, tables, slug))
        time.sleep(PAUSE)


def _take(connection: Connection, names: str) -> bool:
    """One attempt; the savepoint gives back what it took when the rest was not to be had."""
    attempt = connection.begin_nested()
    try:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{MOMENT}'")
        connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
        connection.exec_driver_sql("SET LOCAL statement_timeout TO DEFAULT")
    except OperationalError as error:
        attempt.rollback()
        if isinstance(error.orig, (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable)):
            return False
        raise
    attempt.commit()
    return True


def _in_the_way(connection: Connection, tables: list[Table], slug: str) -> str:
    names = [f"{SCHEMA}.{table.name}" for table in tables]
    rows = connection.execute(text(READERS), {"names": names}).all()
    said = "; ".join(
        f"process {row.pid} ({row.usename}, {row.application_name or 'no name'}, {row.state}, "
        f"since {row.xact_start:%H:%M:%S})"
        for row in rows
    )
    return (
        f"{slug} was not dropped, nothing was changed: for {PATIENCE:.0f} s there was always a "
        f"reader with an open transaction: {said or 'it has just ended'}. Try again when it has "
        "ended, or end it with: SELECT pg_terminate_backend(PROCESS)."
    )


def _drop_tables(connection: Connection, run_id: int) -> None:
    own = [
        f"{SCHEMA}.{table.name}_run_{run_id}"
        for table in Base.metadata.sorted_tables
        if _is_partitioned(table)
    ]
    # in one statement: where others built on them, its error names all of these
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {', '.join(own)}")
    drop_staging(cast(Driver, connection.connection.driver_connection), run_id)


def _delete_run(connection: Connection, run_id: int) -> None:
    connection.execute(text("DELETE FROM atlas.measurement WHERE run_id = :run"), {"run": run_id})
    connection.execute(text("DELETE FROM atlas.run WHERE id = :run"), {"run": run_id})


AT_STAKE = """
SELECT run.slug, run.state,
       (SELECT count(*) FROM atlas.review WHERE run_id = run.id) AS n_reviews,
       (SELECT count(added_at) FROM atlas.measurement WHERE run_id = run.id) AS n_added
FROM atlas.run WHERE run.id = :run
"""

# the newest other run of the lineage; it comes before other lineages only where the dropped one did
STEP_UP = f"""
UPDATE atlas.run SET state = 'published', published_at = CASE
    WHEN (SELECT id FROM atlas.current_run) = :run THEN {LATEST} ELSE published_at END
WHERE id = (
    SELECT other.id FROM atlas.run AS other JOIN atlas.run AS gone ON gone.id = :run
    WHERE gone.state = 'published' AND other.state = 'superseded'
      AND other.vlm_id = gone.vlm_id AND other.sae_set_id = gone.sae_set_id
      AND coalesce(other.config ->> 'name', other.slug)
          = coalesce(gone.config ->> 'name', gone.slug)
    ORDER BY other.published_at DESC LIMIT 1
)
RETURNING slug
"""

RELINK = """
UPDATE atlas.run AS child SET parent_id = gone.parent_id FROM atlas.run AS gone
WHERE gone.id = :run AND child.parent_id = gone.id RETURNING child.slug
"""

READERS = """
SELECT DISTINCT activity.pid, activity.usename, activity.application_name, activity.state,
       activity.xact_start
FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)
WHERE pg_locks.granted AND pid <> pg_backend_pid()
  AND pg_locks.relation = ANY (CAST(:names AS regclass[])) AND activity.datname = current_database()
  AND activity.xact_start IS NOT NULL  -- else its transaction ended while the locks were read
ORDER BY activity.xact_start
"""
