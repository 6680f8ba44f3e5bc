"""The database's disk is full in the middle of a load: said plainly, and nothing is lost.

Needs the right to mount: a small file system in memory is the disk.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import create_database
from fact_checksums import visible_facts
from loading import staging_tables, states
from run_folder import write_run_folder
from sqlalchemy import Engine

from feature_atlas.etl.postgres.embedded import EmbeddedPostgres
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.migrate import migrate
from feature_atlas.models.session import make_engine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk"),
]

SETTINGS = {"max_wal_size": "64MB", "min_wal_size": "32MB", "shared_buffers": "32MB"}
SMALL, LARGE = "200m", "600m"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that fits."""
    return write_run_folder(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that does not."""
    layers = tuple(range(8))
    return write_run_folder(tmp_path_factory.mktemp("runs"), seed=1, layers=layers, d_sae=2048)


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk; it is gone after the test, whatever happens."""
    place = tmp_path_factory.mktemp("disk")
    try:
        mount(place, f"size={SMALL}")
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"cannot mount a small disk here: {error}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def mount(place: Path, options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def served(home: Path) -> Iterator[EmbeddedPostgres]:
    """A server of its own."""
    server = EmbeddedPostgres(home, settings=SETTINGS)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def move_log(home: Path, place: Path) -> None:
    """Put the log of changes (pg_wal) of a stopped server on another disk."""
    log = (home / "postgres" / "data").resolve() / "pg_wal"
    shutil.move(log, place / "pg_wal")
    log.symlink_to(place / "pg_wal")


def fill(disk: Path, leave: int) -> Path:
    """Take all but some bytes of the disk."""
    ballast = disk / "ballast"
    n_bytes = shutil.disk_usage(disk).free - leave
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, n_bytes)
    return ballast


def publish_first(folder: Path, server: EmbeddedPostgres) -> tuple[Engine, str]:
    """A database with a published run."""
    url = create_database(server.start(), "full")
    engine = make_engine(url)
    migrate(engine)
    ingest(folder, engine)
    return engine, url


def test_a_full_disk_of_the_data_is_named_and_a_load_succeeds_when_there_is_room(
    disk: Path, small: Path, large: Path, tmp_path: Path
):
    with served(disk) as server:
        server.stop()
        move_log(disk, tmp_path)
        engine, url = publish_first(small, server)
        before = visible_facts(url)
        ballast = fill(disk, leave=15_000_000)

        with pytest.raises(RuntimeError) as failed:
            ingest(large, engine)

        said = str(failed.value)
        assert said.startswith(f"{large.name} was not loaded: the disk of the database is full")
        assert "No space left on device" in said
        assert "Make room on it" in said
        assert "Readers see what they saw before" in said
        assert visible_facts(url) == before
        assert staging_tables(engine) == []
        assert states(engine) == ["published", "failed"]

        ballast.unlink()
        mount(disk, f"remount,size={LARGE}")
        assert ingest(large, engine).status == "published"
        assert visible_facts(url)[0] == large.name
        engine.dispose()


def test_a_full_disk_of_the_log_stops_the_server_and_costs_nothing_but_the_load(
    disk: Path, small: Path, large: Path, tmp_path: Path
):
    with served(tmp_path) as server:
        server.stop()
        move_log(tmp_path, disk)
        engine, url = publish_first(small, server)
        before = visible_facts(url)
        ballast = fill(disk, leave=1_000_000)

        with pytest.raises(RuntimeError) as failed:
            ingest(large, engine)

        # the server stops, or first refuses a piece of its log: a matter of moments
        said = str(failed.value)
        refused = f"{large.name} was not loaded: "
        assert said.startswith(
            (
                f"{refused}the connection to the database was",
                f"{refused}the disk of the database is",
            )
        )
        assert "a full disk is one reason" in said or "is full (" in said
        assert "No space left on device" in (tmp_path / "postgres" / "log").read_text()

        ballast.unlink()
        server.start()
        assert visible_facts(url) == before
        assert ingest(large, engine, wait=True).status == "published"
        assert visible_facts(url)[0] == large.name
        assert staging_tables(engine) == []
        engine.dispose()
