"""Data folders that no server here can use, and what is said of them."""

import shutil
from pathlib import Path

import pytest
from embedded_server import FAST, answer

from feature_atlas.etl.postgres.embedded import EmbeddedPostgres


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
