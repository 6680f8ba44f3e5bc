"""Write labels of base features that others made: all of an import or nothing of it.

Belongs to the loader's family (`load.py`), the only writers. Labels belong to the base SAEs, so
importing them touches no run.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from feature_atlas.etl.warehouse.staging import Connection

IMPORT_LOCK = 0x6C6162656C73  # "labels": one import at a time in a database


class Label(NamedTuple):
    """One description as it came."""

    layer: int
    feature: int
    description: str
    model: str | None
    """The explainer's model."""
    method: str | None
    """How it was explained, in the source's words."""
    external_id: str
    """The source's own id."""
    written_at: datetime | None
    file: Path
    """Where it was read."""
    line: int


class Written(NamedTuple):
    """What an import did."""

    n_new: int
    """Labels that were not there."""
    n_changed: int
    """Labels that were there and say something else now."""
    n_same: int
    """Labels that were there as they are."""


def write_labels(
    connection: Connection, sae_set_id: int, source: str, labels: Iterable[Label]
) -> Written:
    """Put labels in, or in the place of the ones with the same id, in the caller's transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (IMPORT_LOCK,))
    connection.execute(STAGED)
    with connection.cursor() as cursor:
        with cursor.copy("COPY pg_temp.staged_label FROM STDIN") as copy:
            for label in labels:
                copy.write_row([*label[:7], str(label.file), label.line])
        n_labels = cursor.rowcount
    _refuse_double_ids(connection)
    values = {"sae_set": sae_set_id, "source": source}
    n_new, n_changed = connection.execute(UPSERT, values).fetchall()[0]
    return Written(n_new, n_changed, n_labels - n_new - n_changed)


def _refuse_double_ids(connection: Connection) -> None:
    found = connection.execute(DOUBLE).fetchone()
    if found is not None:
        external_id, file, line, other_file, other_line = found
        raise ValueError(
            f"{other_file}, line {other_line}: id {external_id!r} comes twice, first in {file}, "
            f"line {line}. Nothing was imported."
        )


STAGED = """
    CREATE TEMP TABLE staged_label (
        layer smallint, feature int, description text, model text, method text, external_id text,
        written_at timestamptz, file text, line int
    ) ON COMMIT DROP
"""

DOUBLE = """
    SELECT one.external_id, one.file, one.line, two.file, two.line
    FROM (
        SELECT external_id, min(ctid) AS place FROM pg_temp.staged_label
        GROUP BY external_id HAVING count(*) > 1 ORDER BY min(ctid) LIMIT 1
    ) AS first
    JOIN pg_temp.staged_label AS one ON one.ctid = first.place
    JOIN pg_temp.staged_label AS two
        ON two.external_id = first.external_id AND two.ctid > first.place
    ORDER BY two.ctid LIMIT 1
"""

# a label that says what it said keeps its row; xmax is 0 in a row that was not there before
UPSERT = """
    WITH written AS (
        INSERT INTO atlas.base_label AS old (sae_set_id, source, layer, feature, description,
            model, method, external_id, written_at)
        SELECT %(sae_set)s, %(source)s, layer, feature, description, model, method, external_id,
            written_at
        FROM pg_temp.staged_label ORDER BY ctid
        ON CONFLICT (sae_set_id, source, external_id) DO UPDATE SET
            layer = excluded.layer, feature = excluded.feature,
            description = excluded.description, model = excluded.model,
            method = excluded.method, written_at = excluded.written_at, imported_at = now()
        WHERE (old.layer, old.feature, old.description, old.model, old.method, old.written_at)
            IS DISTINCT FROM (excluded.layer, excluded.feature, excluded.description,
                excluded.model, excluded.method, excluded.written_at)
        RETURNING xmax = 0 AS is_new
    )
    SELECT count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE NOT is_new) FROM written
"""
