"""The embedded server is private, wherever its home is."""

import stat
from pathlib import Path

import psycopg
import pytest
from embedded_server import FAST, answer, copy_home

from feature_atlas.etl.postgres.embedded import EmbeddedPostgres


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
