"""Behind a home whose path is too long for a socket the reader is as confined as anywhere else.

Through all three doors: `feature-atlas query` and `sql()` (both by `run_user_sql`), and the pages'.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from embedded_server import FAST
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from feature_atlas.dashboards.notebook import sql
from feature_atlas.dashboards.queries.database import select
from feature_atlas.etl.postgres.embedded import EmbeddedPostgres
from feature_atlas.etl.warehouse.migrate import migrate
from feature_atlas.models.session import make_engine, make_reader_engine, make_writer_engine
from feature_atlas.models.user_sql import run_user_sql

STOLEN = "ts_stat($$SELECT to_tsvector(pg_read_file('/etc/passwd'))$$)"

ATTACKS = [
    "SELECT pg_read_file('/etc/passwd')",
    f"SELECT set_config('role', 'none', false), (SELECT word FROM {STOLEN} LIMIT 1)",
    f"SELECT set_config('role', 'atlas', false), (SELECT word FROM {STOLEN} LIMIT 1)",
    f"SELECT set_config('session_authorization', 'atlas', false), (SELECT word FROM {STOLEN})",
    "SELECT rolpassword FROM pg_authid",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_create(0)",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
    "SELECT nextval('atlas.review_id_seq')",
    "WITH gone AS (DELETE FROM atlas.review RETURNING 1) SELECT * FROM gone",
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated atlas in a home with a path of more than 107 bytes."""
    home = Path(tmp_path_factory.mktemp("long"), "path" * 30)
    server = EmbeddedPostgres(home, settings=FAST)
    engine = make_engine(server.start())
    migrate(engine)
    engine.dispose()
    yield engine.url.render_as_string(hide_password=False)
    server.stop()


@pytest.fixture
def reader(url: str) -> Iterator[Engine]:
    engine = make_reader_engine(url, statement_timeout="300ms")
    yield engine
    engine.dispose()


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_door_refuses(attack: str, url: str, reader: Engine, monkeypatch) -> None:
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)

    with pytest.raises(psycopg.Error):
        run_user_sql(reader, attack, max_rows=10)
    with pytest.raises(psycopg.Error):
        sql(attack)
    with pytest.raises(DBAPIError):
        select(attack)


def test_nobody_sleeps_past_the_limit(reader: Engine) -> None:
    began = time.monotonic()
    with pytest.raises(psycopg.errors.QueryCanceled):
        run_user_sql(
            reader, "SELECT set_config('statement_timeout', '0', false), pg_sleep(9)", max_rows=1
        )
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("back", ["RESET ROLE", "SET ROLE NONE", "RESET SESSION AUTHORIZATION"])
def test_there_is_nobody_to_go_back_to(back: str, url: str) -> None:
    for make, role in ((make_reader_engine, "atlas_reader"), (make_writer_engine, "atlas_writer")):
        engine = make(url)
        with engine.connect() as connection:
            connection.exec_driver_sql(back)
            users = connection.exec_driver_sql("SELECT session_user, current_user").one()
            assert tuple(users) == (role, role)
        engine.dispose()


def test_a_server_that_is_full_makes_no_owner_of_the_reader(url: str) -> None:
    owner = make_engine(url)
    with owner.connect() as connection:
        connection.exec_driver_sql("ALTER ROLE atlas_reader CONNECTION LIMIT 0")
        connection.commit()
    engine = make_reader_engine(url)

    with pytest.raises(DBAPIError, match="too many connections"):
        engine.connect()

    with owner.connect() as connection:
        connection.exec_driver_sql("ALTER ROLE atlas_reader CONNECTION LIMIT -1")
        connection.commit()
