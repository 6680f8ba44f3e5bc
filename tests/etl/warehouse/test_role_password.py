"""On a server that asks for passwords: the readers' own, and nothing beyond reading with it."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from databases import SETTINGS
from sqlalchemy import Engine
from sqlalchemy.engine import URL, make_url
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.etl.postgres.embedded import EmbeddedPostgres
from feature_atlas.etl.warehouse.role_password import set_password
from feature_atlas.models.session import make_engine, make_reader_engine, make_writer_engine
from feature_atlas.models.user_sql import run_user_sql

PASSWORD = 'it\'s_"quoted"_日本語'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """The embedded server, told to ask everybody but its owner for a password."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("passwords"), settings=SETTINGS)
    url = make_url(server.start())
    with psycopg.connect(url.render_as_string(), autocommit=True) as owner:
        (rules,) = owner.execute("SHOW hba_file").fetchone() or ("",)
        asked = f"local all {url.username} trust\nlocal all all scram-sha-256\n"
        Path(rules).write_text(asked, encoding="utf-8")
        owner.execute("SELECT pg_reload_conf()")
    yield url.set(password="of the owner")
    server.stop()


@pytest.fixture
def migrated(server: URL, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engine:
    """The owner's engine, after `feature-atlas migrate` was told a password for readers.

    Both passwords lie in files, as in docker-compose.yml.
    """
    url = server.render_as_string(hide_password=False)
    assert server.password is not None
    monkeypatch.setenv("ATLAS_DATABASE_URL", server._replace(password=None).render_as_string())
    for name, password in (("DATABASE", server.password), ("READER", PASSWORD)):
        file = tmp_path / name
        file.write_text(f"{password}\n", encoding="utf-8")
        monkeypatch.setenv(f"ATLAS_{name}_PASSWORD_FILE", str(file))
    done = CliRunner().invoke(app, ["migrate"])
    assert done.exit_code == 0, done.output
    return make_engine(url)


def as_reader(server: URL, password: str) -> str:
    """The address that dashboards and colleagues are given."""
    address = server.set(username="atlas_reader", password=password)
    return address.render_as_string(hide_password=False)


def test_the_reader_logs_in_as_itself(server: URL, migrated: Engine):
    reader = make_reader_engine(as_reader(server, PASSWORD))
    answer = run_user_sql(reader, "SELECT session_user, current_user", max_rows=1)
    reader.dispose()

    assert answer.rows == [("atlas_reader", "atlas_reader")]


def test_the_reader_cannot_become_the_owner(server: URL, migrated: Engine):
    with (
        psycopg.connect(as_reader(server, PASSWORD)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SET ROLE atlas")


@pytest.mark.parametrize("wrong", ["", "another_password"])
def test_another_password_opens_nothing(wrong: str, server: URL, migrated: Engine):
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(as_reader(server, wrong))


def test_a_short_password_is_refused(migrated: Engine):
    with pytest.raises(ValueError, match=r"has 5 characters, expected 12 or more"):
        set_password(migrated, "ATLAS_READER_PASSWORD", "guess")


def test_the_password_is_kept_as_a_hash(migrated: Engine):
    with migrated.connect() as connection:
        query = "SELECT rolpassword FROM pg_authid WHERE rolname = 'atlas_reader'"
        (stored,) = connection.exec_driver_sql(query).one()

    assert stored.startswith("SCRAM-SHA-256$")


def test_the_writers_password_lets_pages_of_a_reader_write(
    server: URL, migrated: Engine, monkeypatch: pytest.MonkeyPatch
):
    set_password(migrated, "ATLAS_WRITER_PASSWORD", "another_password")
    pages = as_reader(server, PASSWORD)
    with pytest.raises(PermissionError, match="set ATLAS_WRITER_PASSWORD"):
        make_writer_engine(pages).connect()

    monkeypatch.setenv("ATLAS_WRITER_PASSWORD", "another_password")
    writer = make_writer_engine(pages)
    with writer.connect() as connection:
        users = connection.exec_driver_sql("SELECT session_user, current_user").one()
    writer.dispose()

    assert tuple(users) == ("atlas_writer", "atlas_writer")
