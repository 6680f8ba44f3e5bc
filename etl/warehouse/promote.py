"""Which run readers see: the published one of a lineage, and the stable one. No fact is touched.

A lineage is the runs of one name on one VLM and one set of SAEs; one of them is published at a
time. Readers who do not name a run see the one that became published last. At most one run is
stable: readers are promised to find it, whatever is published meanwhile.
"""

from typing import NamedTuple, cast

from sqlalchemy import Connection, Engine, text

from feature_atlas.etl.warehouse.publish import LATEST, PUBLISH_LOCK
from feature_atlas.etl.warehouse.runs import published_run, resolve_run


class PromoteReport(NamedTuple):
    """What a promotion did."""

    slug: str
    """The run."""
    status: str
    """'promoted', or 'already published' when there was nothing to do."""
    superseded: str | None
    """The run that stepped back, if one was published."""
    readers_see: str | None
    """The run that readers see who do not name one."""


def promote_run(engine: Engine, named: str) -> PromoteReport:
    """One short transaction; readers go on, each query sees the one run or the other."""
    with engine.begin() as connection:
        lock_publication(connection)
        run, stepped_back = resolve_run(connection, named), None
        if run.state == "superseded":
            stepped_back = connection.scalar(text(STEP_BACK), {"run": run.id})
            connection.execute(text(STEP_UP), {"run": run.id})
        elif run.state != "published":
            raise ValueError(
                f"{run.slug} is {run.state}, so it has no facts to show; only a superseded run can "
                "be promoted. Load its folder with `feature-atlas ingest`."
            )
        status = "already published" if run.state == "published" else "promoted"
        return PromoteReport(run.slug, status, stepped_back, seen_run(connection))


class StableReport(NamedTuple):
    """What became of the promise to readers."""

    slug: str
    """The run."""
    status: str
    """'stable', 'already stable' or 'released'."""
    instead_of: str | None
    """The run that was stable until now."""


def promise_run(engine: Engine, named: str) -> StableReport:
    """Name the run that readers are promised to find; the one before is released."""
    with engine.begin() as connection:
        lock_publication(connection)
        run, before = published_run(connection, named), stable_run(connection)
        if before == run.slug:
            return StableReport(run.slug, "already stable", None)
        connection.execute(text(PROMISE), {"run": run.id})
        return StableReport(run.slug, "stable", before)


def release_run(engine: Engine, named: str) -> StableReport:
    """Take the promise back; the run stays as it is, and no run is stable."""
    with engine.begin() as connection:
        lock_publication(connection)
        run, stable = resolve_run(connection, named), stable_run(connection)
        if run.slug != stable:
            raise ValueError(f"{run.slug} is not the stable run; that is {stable or 'none'}.")
        connection.execute(text("DELETE FROM atlas.stable_promise"))
        return StableReport(run.slug, "released", None)


def stable_run(connection: Connection) -> str | None:
    """The run that readers are promised to find; None: there is no such promise."""
    return cast(str | None, connection.scalar(text("SELECT slug FROM atlas.stable_run")))


def lock_publication(connection: Connection) -> None:
    """Wait for a publication that is going on; it takes moments."""
    connection.execute(text("SET LOCAL lock_timeout = '60s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": PUBLISH_LOCK})


def seen_run(connection: Connection) -> str | None:
    """The run that readers see who do not name one; None: no run is published."""
    return cast(str | None, connection.scalar(text("SELECT slug FROM atlas.current_run")))


PROMISE = """
INSERT INTO atlas.stable_promise (is_stable, run_id) VALUES (true, :run)
ON CONFLICT (is_stable) DO UPDATE SET run_id = excluded.run_id, created_at = now()
"""

STEP_BACK = """
UPDATE atlas.run AS old SET state = 'superseded' FROM atlas.run AS new
WHERE new.id = :run AND old.state = 'published'
  AND old.vlm_id = new.vlm_id AND old.sae_set_id = new.sae_set_id
  AND coalesce(old.config ->> 'name', old.slug) = coalesce(new.config ->> 'name', new.slug)
RETURNING old.slug
"""

STEP_UP = f"""
UPDATE atlas.run SET state = 'published', published_at = {LATEST} WHERE id = :run
"""
