"""What a killed loader left, dropped by the next one, of whatever run.

A loader that is alive holds its run's lock (`loader_lock`); tables in `atlas_staging` of a run
whose lock is free belong to nobody.
"""

from psycopg import sql

from feature_atlas.etl.warehouse.loader_lock import try_loader_lock
from feature_atlas.etl.warehouse.staging import STAGING, Connection, drop_staging

LEFT = """
    SELECT coalesce(staged.run_id, run.id), run.config_hash
    FROM (
        SELECT DISTINCT substring(relname FROM '_run_([0-9]+)$')::integer AS run_id
        FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r'
    ) AS staged
    FULL JOIN (SELECT id, config_hash, state FROM atlas.run) AS run ON run.id = staged.run_id
    WHERE staged.run_id IS NOT NULL OR run.state = 'building'
"""


def clean_up_staging(connection: Connection) -> None:
    """Drop the staging tables of every dead loader, and mark their runs as failed."""
    left = connection.execute(LEFT, (STAGING,)).fetchall()
    connection.commit()
    for run_id, config_hash in left:
        if config_hash is None:  # the run itself was dropped
            drop_staging(connection, run_id)
            continue
        with try_loader_lock(connection, config_hash) as is_abandoned:
            if is_abandoned:
                fail_run(connection, run_id)


def fail_run(connection: Connection, run_id: int) -> None:
    """Drop what was staged of a run; if it was being built, it has failed.

    In transactions of their own: on a full disk the first make room for the last.
    """
    drop_staging(connection, run_id)
    with connection.transaction():
        connection.execute(
            sql.SQL(
                "UPDATE atlas.run SET state = 'failed' WHERE id = {} AND state = 'building'"
            ).format(sql.Literal(run_id))
        )
