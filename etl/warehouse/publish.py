"""Publish a loaded run in one short transaction: readers see all of it or nothing.

Part of the loader (`load.py`). Partitions are attached, other rows move over, the run is published,
the one before it superseded.
"""

from psycopg import sql

from feature_atlas.etl.run_folder.table_rows import PARTITIONED, SPARSE, WHAT, table_of
from feature_atlas.etl.warehouse.registry import lock_registry
from feature_atlas.etl.warehouse.staging import Load, in_atlas
from feature_atlas.models.base import SCHEMA

MOVED = tuple(table for table in SPARSE if table not in PARTITIONED)
"""Tables whose rows move over."""

LATEST = (
    "greatest(clock_timestamp(),"
    " (SELECT max(published_at) FROM atlas.run) + interval '1 microsecond')"
)
"""After every publication so far, also where the server's clock was set back."""

PUBLISH_LOCK = 0x7075626C6973  # "publis": one publication at a time in a database


def publish(load: Load) -> None:
    """All or nothing: no row of a partition moves; attaching looks up what they refer to.

    No lock that a reader could meet: only other loaders wait, for as long as this takes.
    """
    with load.connection.transaction():
        load.run("SET LOCAL lock_timeout = '60s'")
        load.run("SELECT pg_advisory_xact_lock({})", sql.Literal(PUBLISH_LOCK))
        # attaching locks what the facts refer to, in another order than those who fill the registry
        lock_registry(load.connection)
        for table in (*PARTITIONED, "feature_record"):
            _attach(load, table)
        move_samples(load)
        for table in MOVED:
            move_rows(load, table)
        for table in (*WHAT, *MOVED):
            load.run("DROP TABLE {}", load.staged(table))
        _flip(load)
    load.progress("publish", 1, 1)
    with load.connection.transaction():
        for table in (*WHAT, *MOVED):
            load.run("ANALYZE {}", in_atlas(table))


def _attach(load: Load, table: str) -> None:
    load.run("ALTER TABLE {} SET SCHEMA {}", load.staged(table), sql.Identifier(SCHEMA))
    own = in_atlas(f"{table}_run_{load.run_id}")
    load.run(
        "ALTER TABLE {} ATTACH PARTITION {} FOR VALUES IN ({})",
        in_atlas(table),
        own,
        sql.Literal(load.run_id),
    )
    load.run("ALTER TABLE {} DROP CONSTRAINT of_this_run", own)


def move_samples(load: Load) -> None:
    """Images and samples that are new; then the database's id of every local number."""
    _move_new_images(load)
    _move_new_samples(load)
    load.run(
        "CREATE TEMP TABLE sample_number ON COMMIT DROP AS SELECT staged.id AS number, found.id"
        " FROM {} AS staged JOIN atlas.sample AS found USING (dataset_id, external_id)",
        load.staged("sample"),
    )
    load.run("ANALYZE sample_number")


def _move_new_images(load: Load) -> None:
    columns = [c for c in table_of("image").columns if c.name != "id"]
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    load.run(
        "INSERT INTO atlas.image ({}) SELECT {} FROM {} ORDER BY sha256"
        " ON CONFLICT (sha256) DO NOTHING",
        names,
        names,
        load.staged("image"),
    )


def _move_new_samples(load: Load) -> None:
    columns = [c for c in table_of("sample").columns if c.name not in ("id", "image_id")]
    load.run(
        "INSERT INTO atlas.sample (image_id, {}) SELECT found.id, {} FROM {} AS staged"
        " JOIN (SELECT id AS image_id, sha256 FROM {}) AS local USING (image_id)"
        " JOIN atlas.image AS found USING (sha256) ORDER BY dataset_id, external_id"
        " ON CONFLICT (dataset_id, external_id) DO NOTHING",
        sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
        sql.SQL(", ").join(sql.Identifier("staged", column.name) for column in columns),
        load.staged("sample"),
        load.staged("image"),
    )


def move_rows(load: Load, table: str) -> None:
    """A table's staged rows into the table that readers see, samples by the database's ids."""
    names = [c.name for c in table_of(table).columns if c.name != "id"]
    refers = "sample_id" in names
    values = [
        sql.Identifier("sample_number", "id")
        if name == "sample_id"
        else sql.Identifier("staged", name)
        for name in names
    ]
    join = "JOIN sample_number ON sample_number.number = staged.sample_id" if refers else ""
    load.run(
        "INSERT INTO {} ({}) SELECT {} FROM {} AS staged {}",
        in_atlas(table),
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(values),
        load.staged(table),
        sql.SQL(join),
    )


def _flip(load: Load) -> None:
    """This run is what readers see; the one before it of the same name steps back."""
    previous = load.connection.execute(
        "UPDATE atlas.run AS old SET state = 'superseded' FROM atlas.run AS new"
        " WHERE new.id = %s AND old.id <> new.id AND old.state = 'published'"
        " AND old.vlm_id = new.vlm_id AND old.sae_set_id = new.sae_set_id"
        " AND coalesce(old.config ->> 'name', old.slug) = %s RETURNING old.id",
        (load.run_id, load.manifest.name),
    ).fetchall()
    load.connection.execute(
        f"UPDATE atlas.run SET state = 'published', published_at = {LATEST},"
        " parent_id = %s WHERE id = %s",
        (max((number for (number,) in previous), default=None), load.run_id),
    )
