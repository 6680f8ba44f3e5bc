"""Publishing: readers see a run whole or not at all, and neither waits for the other."""

import json
import shutil
import time
from pathlib import Path

import psycopg
import pytest
from loading import contents, count, states
from run_folder import replace_value, write_run_folder
from sqlalchemy import Engine, text

from feature_atlas.etl.run_folder.table_rows import PARTITIONED
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.publish import publish
from feature_atlas.etl.warehouse.staging import Load

READS = (
    "SELECT count(*) FROM atlas.feature",
    "SELECT count(*), min(run_id), max(run_id) FROM atlas.decoder_cosine",
    "SELECT count(*), min(run_id), max(run_id) FROM atlas.example JOIN atlas.sample"
    " ON sample.id = sample_id",
    "SELECT array_agg(slug ORDER BY id) FROM atlas.run WHERE state = 'published'",
    "SELECT count(*) FROM atlas.measurement, atlas.regime, atlas.skill, atlas.image",
)


def read(connection: psycopg.Connection) -> list[object]:
    """What a reader finds in tables of every kind."""
    return [connection.execute(query).fetchone() for query in READS]


def driver_url(url: str) -> str:
    return url.replace("+psycopg", "")


def test_a_reader_reads_on_while_a_run_is_published(
    engine: Engine, fresh_url: str, run_folder: Path, tmp_path: Path
):
    ingest(run_folder, engine)
    with psycopg.connect(driver_url(fresh_url)) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        before = read(reader)

        def read_meanwhile(step: str, done: int, total: int) -> None:
            assert read(reader) == before

        report = ingest(write_run_folder(tmp_path, seed=1), engine, read_meanwhile)

        assert report.status == "published"
        assert report.seconds["publish"] < 5
        assert read(reader) == before
        reader.rollback()
        assert read(reader) != before


def test_readers_that_come_while_a_run_is_published_do_not_wait(
    engine: Engine,
    fresh_url: str,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    ingest(run_folder, engine)
    slowest = []

    def read_before_the_commit(load: Load) -> None:
        with psycopg.connect(driver_url(fresh_url)) as reader:
            reader.execute("SET lock_timeout = '100ms'")
            begin = time.perf_counter()
            assert read(reader)[0] == (2 * 64,)
            slowest.append(time.perf_counter() - begin)

    flip = publish.__globals__["_flip"]
    monkeypatch.setattr(
        "feature_atlas.etl.warehouse.publish._flip",
        lambda load: (flip(load), read_before_the_commit(load)),
    )

    assert ingest(write_run_folder(tmp_path, seed=1), engine).status == "published"
    assert slowest[0] < 1


def test_publishing_locks_no_table_against_readers(
    engine: Engine, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ingest(run_folder, engine)
    flip = publish.__globals__["_flip"]
    exclusive = []

    def look_at_locks(load: Load) -> None:
        flip(load)
        exclusive.extend(
            load.connection.execute(
                "SELECT relname FROM pg_locks JOIN pg_class ON pg_class.oid = relation"
                " WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock'"
                " AND relnamespace = 'atlas'::regnamespace"
            ).fetchall()
        )

    monkeypatch.setattr("feature_atlas.etl.warehouse.publish._flip", look_at_locks)
    run = ingest(write_run_folder(tmp_path, seed=1), engine).run_id

    others = {name for (name,) in exclusive if f"_run_{run}" not in name}
    assert exclusive
    assert others == set()


def test_dense_rows_lie_in_partitions_with_the_keys_of_their_table(
    engine: Engine, run_folder: Path
):
    run = ingest(run_folder, engine).run_id
    query = text("""
        SELECT child.relname, count(key.oid) FILTER (WHERE key.contype = 'f')
             , bool_and(key.convalidated), count(*) FILTER (WHERE key.contype = 'p')
             , (SELECT count(*) FROM pg_constraint
                WHERE conrelid = inhparent AND contype = 'f')
        FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
        JOIN pg_constraint AS key ON key.conrelid = child.oid
        WHERE child.relkind = 'r' AND child.relnamespace = 'atlas'::regnamespace
        GROUP BY 1, inhparent ORDER BY 1
    """)
    with engine.connect() as connection:
        partitions = connection.execute(query).all()
        invalid = connection.scalars(
            text("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
        ).all()

    assert [row[0] for row in partitions] == [
        f"{table}_run_{run}" for table in sorted([*PARTITIONED, "feature_record"])
    ]
    for name, n_references, are_valid, n_primary, n_expected in partitions:
        assert (n_references, are_valid, n_primary) == (n_expected, True, 1), name
        assert n_expected > 0
    assert invalid == []


def test_loading_twice_is_loading_once(engine: Engine, run_folder: Path):
    first = ingest(run_folder, engine)
    before = contents(engine)
    with engine.connect() as connection:
        runs = connection.execute(text("SELECT * FROM atlas.run")).all()

    second = ingest(run_folder, engine)

    assert (first.status, second.status) == ("published", "already published")
    assert second.run_id == first.run_id
    assert second.rows == {}
    assert contents(engine) == before
    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM atlas.run")).all() == runs


def test_other_numbers_under_the_name_of_a_published_run_are_refused(
    engine: Engine, run_folder: Path, tmp_path: Path
):
    ingest(run_folder, engine)
    changed = Path(shutil.copytree(run_folder, tmp_path / run_folder.name))
    replace_value(changed, "decoder_cosine", "cosine", 0, 0.25)
    before = contents(engine)

    with pytest.raises(ValueError, match="is published with other files") as refused:
        ingest(changed, engine)

    assert "A published run never changes" in str(refused.value)
    assert contents(engine) == before


def test_a_new_run_supersedes_the_old_one_and_shares_its_images(
    engine: Engine, run_folder: Path, tmp_path: Path
):
    first = ingest(run_folder, engine)
    second = ingest(write_run_folder(tmp_path, seed=1), engine)

    with engine.connect() as connection:
        runs = connection.execute(text("SELECT id, state, parent_id FROM atlas.run ORDER BY id"))
        assert runs.all() == [
            (first.run_id, "superseded", None),
            (second.run_id, "published", first.run_id),
        ]
        assert connection.scalar(text("SELECT id FROM atlas.current_run")) == second.run_id
    assert count(engine, "atlas.feature") == 2 * 64
    assert count(engine, "atlas.feature_all_runs") == 2 * 2 * 64
    assert (count(engine, "atlas.image"), count(engine, "atlas.sample")) == (6, 24)
    assert ingest(run_folder, engine).status == "already published"


def test_a_run_of_another_name_supersedes_nothing(engine: Engine, run_folder: Path, tmp_path: Path):
    ingest(run_folder, engine)
    ingest(write_run_folder(tmp_path, name="other"), engine)

    assert states(engine) == ["published", "published"]


def test_a_row_that_only_the_database_refuses_is_named(
    engine: Engine, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = Path(shutil.copytree(run_folder, tmp_path / run_folder.name))
    path = replace_value(folder, "candidate", "n_fired", 3, 31)
    monkeypatch.setattr(
        "feature_atlas.etl.run_folder.row_checks.verify_rules", lambda batch, name: None
    )

    with pytest.raises(ValueError, match="violates check constraint") as refused:
        ingest(folder, engine)

    assert str(refused.value).startswith(f"{path}, row 3: the database refuses it")
    assert states(engine) == ["failed"]


def test_the_manifest_of_a_published_run_says_what_was_read(engine: Engine, run_folder: Path):
    manifest = json.loads((run_folder / "manifest.json").read_text())
    checked = ingest(run_folder, engine).checked

    assert [file.path for file in checked.files] == [
        run_folder / file["path"] for file in manifest["files"]
    ]
    assert {file.path.name for file in checked.files if not file.is_hashed} == {"note.txt"}
    assert {table.table: table.n_rows for table in checked.tables} == {
        file["table"]: file["rows"] for file in manifest["files"] if "table" in file
    }
    cosine = next(table for table in checked.tables if table.table == "decoder_cosine")
    assert (cosine.n_files, cosine.n_columns, cosine.n_values) == (1, 14, 768 * 14)
