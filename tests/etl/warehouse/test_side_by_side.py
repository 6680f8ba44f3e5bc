"""Work on two connections at once: all of it is done once, and an error on one ends the other."""

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from feature_atlas.etl.run_folder.manifest import read_run_manifest
from feature_atlas.etl.warehouse.progress import silent
from feature_atlas.etl.warehouse.side_by_side import side_by_side
from feature_atlas.etl.warehouse.staging import Load, claim, interrupt


def test_every_piece_is_done_once_and_told_in_the_callers_thread():
    told: Counter[int] = Counter()

    def work(lane: str, piece: int) -> Iterator[int]:
        yield from (1, piece)

    def tell(piece: int, part: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        told[piece] += part

    side_by_side(["a", "b"], work, range(100), tell)

    assert told == {piece: 1 + piece for piece in range(100)}


def test_both_lanes_work_at_the_same_time():
    both = threading.Barrier(2, timeout=10)

    def work(lane: str, piece: int) -> Iterator[int]:
        both.wait()  # breaks unless the other lane comes here too
        yield 1

    side_by_side(["a", "b"], work, range(2), lambda *_: None)


def test_an_error_on_one_lane_ends_what_the_other_is_doing():
    begun, stopped, done = threading.Event(), threading.Event(), []

    def work(lane: str, piece: int) -> Iterator[int]:
        if piece == 1:
            begun.wait(10)
            raise ValueError("a bad row")
        begun.set()
        assert stopped.wait(10)
        yield 1
        done.append(piece)

    with pytest.raises(ValueError, match="a bad row"):
        side_by_side(["a", "b"], work, range(9), lambda *_: None, lambda _: stopped.set())

    assert done == []


def test_an_error_of_who_is_told_ends_the_work():
    ended = []

    def work(lane: str, piece: int) -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            ended.append(lane)

    def tell(piece: int, part: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(["a", "b"], work, range(9), tell)

    assert set(ended) <= {"a", "b"}
    assert ended


def test_a_lane_leaves_a_table_alone_when_the_lock_of_its_run_is_gone(
    fresh_url: str, run_folder: Path
):
    url = fresh_url.replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as owner, psycopg.connect(url) as other:
        owner.execute("SELECT pg_advisory_lock(7)")
        owner.execute("CREATE TABLE atlas_staging.selection_run_9 (layer integer)")
        manifest = read_run_manifest(run_folder)
        load = Load(run_folder, manifest, owner, silent, 9, other).lanes()[1]
        claim(load, "selection")
        other.rollback()

        owner.execute("SELECT pg_advisory_unlock(7)")

        with pytest.raises(psycopg.OperationalError, match="lock of the run"):
            claim(load, "selection")


def test_a_statement_that_runs_is_interrupted(fresh_url: str, run_folder: Path):
    with psycopg.connect(fresh_url.replace("+psycopg", "")) as connection:
        load = Load(run_folder, read_run_manifest(run_folder), connection, silent, 9)
        threading.Timer(0.2, interrupt, [load]).start()

        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(20)")
