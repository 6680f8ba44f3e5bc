"""Promotion: another run of the lineage is published, and readers wait for nothing."""

import threading
import time
from pathlib import Path

import psycopg
import pytest
from run_versions import contents, ingest_until_failure, run_id, scalar, states
from sqlalchemy import Engine, text

from feature_atlas.etl.warehouse.drop import drop_run
from feature_atlas.etl.warehouse.promote import promise_run, promote_run, release_run


def test_a_promoted_run_takes_the_place_of_the_published_one(atlas: Engine, folders: list[Path]):
    before = contents(atlas, run_id(atlas, folders[0]))

    report = promote_run(atlas, folders[0].name)

    assert (report.status, report.superseded) == ("promoted", folders[2].name)
    assert report.readers_see == folders[0].name
    assert scalar(atlas, "SELECT slug FROM atlas.current_run") == folders[0].name
    assert states(atlas) == {
        folders[0].name: ("published", None),
        folders[1].name: ("superseded", folders[0].name),
        folders[2].name: ("superseded", folders[1].name),
        folders[3].name: ("published", None),
    }
    assert contents(atlas, run_id(atlas, folders[0])) == before


def test_promoting_the_published_run_changes_nothing(atlas: Engine, folders: list[Path]):
    before = states(atlas)

    assert promote_run(atlas, folders[2].name).status == "already published"
    assert states(atlas) == before


@pytest.mark.parametrize("state", ["building", "failed"])
def test_a_run_without_facts_is_not_promoted(state: str, engine: Engine, run_folder: Path):
    ingest_until_failure(engine, run_folder)
    with engine.begin() as connection:
        connection.execute(text("UPDATE atlas.run SET state = :state"), {"state": state})

    with pytest.raises(ValueError, match=f"is {state}, so it has no facts"):
        promote_run(engine, run_folder.name)


def test_one_run_is_stable_and_stays_until_another_is_or_it_is_released(
    atlas: Engine, folders: list[Path]
):
    oldest, middle, newest = (folder.name for folder in folders[:3])
    before = states(atlas)

    assert promise_run(atlas, oldest) == (oldest, "stable", None)
    assert promise_run(atlas, "stable") == (oldest, "already stable", None)
    assert scalar(atlas, "SELECT slug FROM atlas.stable_run") == oldest
    assert scalar(atlas, "SELECT slug FROM atlas.current_run") == newest
    with pytest.raises(ValueError, match=rf"stable run.*runs release {oldest}"):
        drop_run(atlas, oldest, confirmed=True)

    assert promise_run(atlas, middle) == (middle, "stable", oldest)
    assert scalar(atlas, "SELECT string_agg(slug, ' ') FROM atlas.runs WHERE is_stable") == middle
    with pytest.raises(ValueError, match=f"{oldest} is not the stable run; that is {middle}"):
        release_run(atlas, oldest)
    assert release_run(atlas, "stable") == (middle, "released", None)
    assert scalar(atlas, "SELECT count(*) FROM atlas.stable_run") == 0
    assert states(atlas) == before
    drop_run(atlas, oldest)


def test_readers_see_one_run_or_the_other_while_runs_are_promoted(
    atlas: Engine, url: str, folders: list[Path]
):
    seen: list[tuple[int, str | None]] = []
    is_over = threading.Event()

    def look() -> None:
        with psycopg.connect(url, autocommit=True) as reader:
            while not is_over.is_set():
                row = reader.execute(
                    "SELECT count(*) FILTER (WHERE state = 'published' AND slug LIKE 'syn%'),"
                    " (SELECT slug FROM atlas.current_run) FROM atlas.run"
                ).fetchone()
                assert row is not None
                seen.append((row[0], row[1]))

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(20):
        promote_run(atlas, folders[number % 3].name)
    is_over.set()
    thread.join()

    assert {n for n, _ in seen} == {1}
    assert {slug for _, slug in seen} <= {folder.name for folder in folders[:3]}


def test_a_server_whose_clock_was_set_back_shows_the_promoted_run(
    atlas: Engine, folders: list[Path]
):
    with atlas.begin() as connection:  # published tomorrow
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql("UPDATE atlas.run SET published_at = now() + interval '1 day'")

    assert promote_run(atlas, folders[0].name).readers_see == folders[0].name


def test_a_reader_in_a_transaction_neither_waits_for_a_promotion_nor_holds_it_up(
    atlas: Engine, url: str, folders: list[Path]
):
    with psycopg.connect(url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        current = "SELECT DISTINCT run_id FROM atlas.feature"
        before = reader.execute(current).fetchall()

        started = time.monotonic()
        promote_run(atlas, folders[0].name)
        assert time.monotonic() - started < 2

        assert reader.execute(current).fetchall() == before
        reader.commit()
        assert reader.execute(current).fetchall() == [(run_id(atlas, folders[0]),)]
