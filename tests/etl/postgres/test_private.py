"""The embedded server is private, wherever its home is."""

import stat
import tempfile
from pathlib import Path

import pytest
from embedded_server import FAST, answer, copy_home
from sqlalchemy.engine import make_url

from feature_atlas.etl.postgres.binaries import Account
from feature_atlas.etl.postgres.embedded import EmbeddedPostgres
from feature_atlas.etl.postgres.socket_folder import socket_folder_for


def test_nobody_else_can_come_in(home: Path):
    EmbeddedPostgres(home, settings=FAST).start()

    for name in ("", "data", "run"):
        mode = (home / "postgres" / name).stat().st_mode
        assert stat.S_IMODE(mode) == 0o700
    for name in ("url",):
        assert stat.S_IMODE((home / "postgres" / name).stat().st_mode) == 0o600


def test_it_listens_on_no_network(home: Path):
    url = EmbeddedPostgres(home, settings=FAST).start()

    assert answer(url, "SHOW listen_addresses") == ""


@pytest.mark.parametrize("name", ["long" * 30, "a, b", 'said "so"'])
def test_where_the_path_is_no_place_for_a_socket_it_lies_elsewhere(
    name: str, stopped_home: Path, tmp_path: Path
):
    home = copy_home(stopped_home, tmp_path / name)
    server = EmbeddedPostgres(home, settings=FAST)

    url = server.start()

    assert answer(url, "SHOW listen_addresses") == ""
    folder = Path(make_url(url).query["host"])
    assert not folder.is_relative_to(home)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert server.stop()
    assert server.start() == url


def test_a_socket_folder_that_somebody_else_made_is_not_used(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        monkeypatch.setenv("XDG_RUNTIME_DIR", place)
        data = Path("/" + "long" * 30, "data")
        ours = socket_folder_for(data, Account())
        assert ours.parent == Path(place)
        assert socket_folder_for(data, Account()) == ours

        ours.rmdir()
        ours.symlink_to(place)
        assert socket_folder_for(data, Account()) != ours


def test_a_path_with_blanks_and_accents_works(stopped_home: Path, tmp_path: Path):
    home = copy_home(stopped_home, tmp_path / "été % 1")
    server = EmbeddedPostgres(home, settings=FAST)

    assert answer(server.start()) == 1
    assert server.stop()
