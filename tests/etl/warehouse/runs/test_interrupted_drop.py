"""A drop beside open readers, and one that is killed: all of it or nothing."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest
from run_versions import contents, run_id, scalar, states
from sqlalchemy import Engine

from feature_atlas.etl.warehouse import drop
from feature_atlas.etl.warehouse.drop import drop_run


def test_an_open_reader_holds_up_a_drop_and_the_drop_holds_up_nobody_for_long(
    atlas: Engine, url: str, folders: list[Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(drop, "PATIENCE", 2.0)
    before, run = states(atlas), run_id(atlas, folders[0])
    facts = contents(atlas, run)
    waits: list[float] = []
    is_over = threading.Event()

    def read() -> None:
        while not is_over.is_set():
            started = time.monotonic()
            scalar(atlas, "SELECT count(*) FROM atlas.feature")
            waits.append(time.monotonic() - started)

    with psycopg.connect(url, application_name="a notebook") as reader:
        reader.execute("SELECT count(*) FROM atlas.feature_all_runs")
        thread = threading.Thread(target=read)
        thread.start()
        with pytest.raises(RuntimeError, match="nothing was changed") as refused:
            drop_run(atlas, folders[0].name)
        is_over.set()
        thread.join()

        assert f"process {reader.info.backend_pid}" in str(refused.value)
        assert "a notebook, idle in transaction" in str(refused.value)
        assert (states(atlas), contents(atlas, run)) == (before, facts)
        assert len(waits) > 10
        assert max(waits) < 1

    drop_run(atlas, folders[0].name)
    assert folders[0].name not in states(atlas)


def test_a_drop_waits_for_a_reader_that_ends(atlas: Engine, url: str, folders: list[Path]):
    reader = psycopg.connect(url)
    reader.execute("SELECT count(*) FROM atlas.feature_all_runs")
    timer = threading.Timer(1.0, reader.close)
    timer.start()

    drop_run(atlas, folders[0].name)

    timer.join()
    assert folders[0].name not in states(atlas)


KILLED = """
import os, signal, sys
from feature_atlas.etl.warehouse import drop
from feature_atlas.models.session import make_engine

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(drop, sys.argv[3], die)
drop.drop_run(make_engine(sys.argv[2]), sys.argv[1], confirmed=True)
"""


@pytest.mark.parametrize("step", ["lock_publication", "_take_tables", "_delete_run", "seen_run"])
def test_a_killed_drop_has_done_nothing_and_the_next_one_does_it_all(
    step: str, atlas: Engine, url: str, folders: list[Path]
):
    before, run = states(atlas), run_id(atlas, folders[2])
    facts = contents(atlas, run)

    killed = subprocess.run([sys.executable, "-c", KILLED, folders[2].name, url, step])

    assert killed.returncode == -signal.SIGKILL
    wait_until_gone(atlas)
    assert (states(atlas), contents(atlas, run)) == (before, facts)
    assert drop_run(atlas, folders[2].name, confirmed=True).readers_see == folders[1].name


def wait_until_gone(engine: Engine) -> None:
    """Until the server has noticed that a killed client is no more."""
    others = """
        SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    """
    for _ in range(200):
        if scalar(engine, others) == 0:
            return
        time.sleep(0.05)
    raise AssertionError("the killed client's session is still there")
