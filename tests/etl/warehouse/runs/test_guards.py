"""The database itself keeps what was published and measured as it is."""

from pathlib import Path

import pytest
from run_versions import FACTS, ingest_until_failure, run_id
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError


@pytest.mark.parametrize(
    "change",
    [
        "slug = 'mine'",
        "config = '{}'",
        "config_hash = repeat('0', 64)",
        "checksum = 'mine'",
        "code_version = 'mine'",
        "dirty = true",
        "d_sae = 1",
        "created_at = now()",
        "published_at = now()",
        "parent_id = id",
        "state = 'building', published_at = NULL",
        "state = 'failed', published_at = NULL",
    ],
)
@pytest.mark.parametrize("number", [0, 2])
def test_the_database_keeps_a_published_run_as_it_is(
    number: int, change: str, kept: Engine, folders: list[Path]
):
    with kept.begin() as connection, pytest.raises(IntegrityError, match=r"never|cannot become"):
        connection.execute(
            text(f"UPDATE atlas.run SET {change} WHERE slug = :slug"),
            {"slug": folders[number].name},
        )


@pytest.mark.parametrize(
    "change", ["state = 'superseded', published_at = now()", "state = 'published'"]
)
def test_the_database_knows_which_state_follows_which(
    change: str, engine: Engine, run_folder: Path
):
    ingest_until_failure(engine, run_folder)

    with engine.begin() as connection, pytest.raises(IntegrityError, match="failed cannot become"):
        connection.execute(text(f"UPDATE atlas.run SET {change}"))


@pytest.mark.parametrize("table", [*FACTS, "measurement"])
def test_the_database_never_changes_what_was_measured(table: str, kept: Engine):
    with kept.begin() as connection, pytest.raises(IntegrityError, match="it never changes"):
        connection.execute(text(f"UPDATE atlas.{table} SET run_id = run_id"))


def test_partitions_are_guarded_as_their_tables_are(kept: Engine, folders: list[Path]):
    run = run_id(kept, folders[2])

    with kept.begin() as connection, pytest.raises(IntegrityError, match="it never changes"):
        connection.execute(text(f"UPDATE atlas.decoder_cosine_run_{run} SET cosine = 0"))


def test_a_measurement_is_removed_without_reading_every_run(kept: Engine):
    plan = "EXPLAIN SELECT FROM atlas.decoder_cosine WHERE measurement_id = 0"
    with kept.connect() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        lines = connection.scalars(text(plan)).all()

    assert sum("Bitmap Index Scan on" in line for line in lines) == 4
    assert not any("Seq Scan" in line for line in lines)
