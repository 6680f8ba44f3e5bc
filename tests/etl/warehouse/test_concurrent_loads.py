"""Two loaders at once, and loaders that died: one run is loaded once, and nothing is left over."""

import logging
import os
import signal
import socket
import threading
import time
from pathlib import Path

import psycopg
import pytest
from doomed_load import start_load, wait_for_death
from loading import contents, count, staging_tables, states
from run_folder import write_run_folder
from sqlalchemy import Engine, text

from feature_atlas.etl.run_folder.manifest import read_manifest
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.loader_lock import lock_key
from feature_atlas.models.session import make_engine


def kill_at(step: str, folder: Path, url: str) -> None:
    """A loader that dies at a boundary of a step."""
    death = wait_for_death(*start_load(folder, url, die_at=step), time.perf_counter())
    assert death.exit_code == -signal.SIGKILL


def test_a_second_loader_is_told_who_holds_the_lock(
    engine: Engine, fresh_url: str, run_folder: Path
):
    other = make_engine(fresh_url)
    said = []

    def try_another(step: str, done: int, total: int) -> None:
        if step == "record":
            with pytest.raises(RuntimeError) as refused:
                ingest(run_folder, other)
            said.append(str(refused.value))

    assert ingest(run_folder, engine, try_another).status == "published"
    other.dispose()
    who = f"feature-atlas ingest, process {os.getpid()} on {socket.gethostname()}"[:63]
    assert said[0].startswith(f"another process is loading {run_folder.name} at this moment: {who}")
    assert "user atlas, from this machine, since 20" in said[0]
    assert "add --wait" in said[0]


def test_a_second_loader_that_waits_finds_the_run_published(
    engine: Engine, fresh_url: str, run_folder: Path, caplog: pytest.LogCaptureFixture
):
    statuses = []
    other = make_engine(fresh_url)
    second = threading.Thread(
        target=lambda: statuses.append(ingest(run_folder, other, wait=True).status)
    )

    def start_second(step: str, done: int, total: int) -> None:
        if step == "index" and done == 1:
            second.start()
            time.sleep(0.3)  # it finds the lock taken
            assert statuses == []

    with caplog.at_level(logging.WARNING):
        assert ingest(run_folder, engine, start_second).status == "published"
    second.join(30)
    other.dispose()

    assert statuses == ["already published"]
    assert f"waiting for another process that is loading {run_folder.name}: feature-" in caplog.text
    assert states(engine) == ["published"]


def test_two_loaders_at_the_same_time_never_publish_two_halves(
    engine: Engine, fresh_url: str, run_folder: Path
):
    loaders = [start_load(run_folder, fresh_url) for _ in range(3)]
    deaths = [wait_for_death(*loader, time.perf_counter()) for loader in loaders]

    assert [death.exit_code for death in deaths] == [0, 0, 0]
    assert states(engine) == ["published"]
    assert count(engine, "atlas.decoder_cosine") == 6 * 2 * 64
    assert count(engine, "atlas.example") == 96


def test_loaders_of_two_runs_do_not_disturb_each_other(
    engine: Engine, fresh_url: str, run_folder: Path, tmp_path: Path
):
    folders = [run_folder, *(write_run_folder(tmp_path, seed=seed) for seed in (1, 2))]
    loaders = [start_load(folder, fresh_url) for folder in folders]
    deaths = [wait_for_death(*loader, time.perf_counter()) for loader in loaders]

    assert [death.exit_code for death in deaths] == [0, 0, 0]
    assert sorted(states(engine)) == ["published", "superseded", "superseded"]
    assert count(engine, "atlas.feature_all_runs") == 3 * 2 * 64
    assert count(engine, "atlas.vlm") == count(engine, "atlas.sae_set") == 1
    assert staging_tables(engine) == []


@pytest.mark.parametrize("step", ["copy ends", "index ends", "record ends"])
def test_a_killed_load_leaves_nothing_visible_and_the_next_one_succeeds(
    step: str, fresh_url: str, engine: Engine, run_folder: Path
):
    kill_at(step, run_folder, fresh_url)

    for table in ("feature", "feature_record", "decoder_cosine", "example", "sample", "image"):
        assert count(engine, f"atlas.{table}") == 0
    assert states(engine) == ["building"]

    assert ingest(run_folder, engine, wait=True).status == "published"
    assert count(engine, "atlas.feature") == 2 * 64
    assert staging_tables(engine) == []


def test_the_load_of_another_run_cleans_up_after_a_dead_one(
    fresh_url: str, engine: Engine, run_folder: Path, tmp_path: Path
):
    kill_at("record ends", write_run_folder(tmp_path, seed=1), fresh_url)
    assert staging_tables(engine) != []
    wait_until_free(write_run_folder(tmp_path, seed=1), fresh_url)

    assert ingest(run_folder, engine).status == "published"

    assert staging_tables(engine) == []
    assert states(engine) == ["failed", "published"]


def wait_until_free(folder: Path, url: str) -> None:
    """The server notices after a moment that a killed loader is gone."""
    key = lock_key(read_manifest(folder).config_hash)
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (key,))


def test_the_load_of_another_run_leaves_one_alone_that_is_being_loaded(
    fresh_url: str, engine: Engine, run_folder: Path, tmp_path: Path
):
    other, folder = make_engine(fresh_url), write_run_folder(tmp_path, seed=1)

    def load_another(step: str, done: int, total: int) -> None:
        if step == "index" and done == 1:
            assert ingest(folder, other).status == "published"

    assert ingest(run_folder, engine, load_another).status == "published"
    other.dispose()
    assert sorted(states(engine)) == ["published", "superseded"]
    assert count(engine, "atlas.feature_all_runs") == 2 * 2 * 64


def test_staging_tables_of_a_run_that_was_dropped_are_dropped(
    fresh_url: str, engine: Engine, run_folder: Path
):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE atlas_staging.selection_run_999 (layer integer)"))

    ingest(run_folder, engine)

    assert staging_tables(engine) == []


@pytest.mark.parametrize("where", ["copy", "record"])
def test_a_failure_in_the_middle_is_undone(where: str, engine: Engine, run_folder: Path):
    def fail(step: str, done: int, total: int) -> None:
        if step == where:
            raise KeyboardInterrupt

    before = contents(engine)
    with pytest.raises(KeyboardInterrupt):
        ingest(run_folder, engine, fail)

    assert staging_tables(engine) == []
    assert contents(engine).keys() == before.keys()
    assert states(engine) == ["failed"]
    assert ingest(run_folder, engine).status == "published"


def test_a_lost_connection_is_an_error_that_says_what_to_do(
    engine: Engine, fresh_url: str, run_folder: Path
):
    def cut(step: str, done: int, total: int) -> None:
        if step == "index":
            with psycopg.connect(fresh_url.replace("+psycopg", ""), autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'feature-atlas ingest%' AND datname ="
                    " current_database()"
                )

    with pytest.raises(RuntimeError, match="the connection to the database was lost") as failed:
        ingest(run_folder, engine, cut)

    assert "Run the same command again" in str(failed.value)
    assert ingest(run_folder, engine).status == "published"
    assert staging_tables(engine) == []
