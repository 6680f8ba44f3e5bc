"""What tests do to an embedded server from outside: ask, copy, wait, kill, remove."""

import os
import shutil
import signal
import time
from pathlib import Path

import psycopg

from feature_atlas.etl.postgres import data_folder as postgres_data
from feature_atlas.etl.postgres.embedded import EmbeddedPostgres

FAST = {"fsync": "off", "shared_buffers": "16MB"}


def copy_home(stopped: Path, home: Path) -> Path:
    (home / "postgres").mkdir(parents=True, mode=0o700)
    shutil.copytree(stopped / "postgres" / "data", home / "postgres" / "data")
    return home


def answer(url: str, query: str = "SELECT 1") -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
    return row[0] if row else None


def wait_until_stopped(home: Path, seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while (home / "postgres" / "data" / "postmaster.pid").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def kill_server(home: Path) -> None:
    data = (home / "postgres" / "data").resolve()
    pid = int((data / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)
    while postgres_data.processes_in(data):
        time.sleep(0.02)


def remove(home: Path) -> None:
    """Delete a home; its keeper may still be closing the door."""
    EmbeddedPostgres(home).stop()
    while home.exists():
        shutil.rmtree(home, ignore_errors=True)
