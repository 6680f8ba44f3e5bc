"""A real PostgreSQL for the whole session, and a fresh database for every test that asks.

`engine`: a database of its own with the newest schema, empty.
`loaded_engine`: a database with one published synthetic run (`tests/run_folder.py`), shared by
the session; only read it.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from run_folder import write_run_folder
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from feature_atlas.etl.postgres.embedded import EmbeddedPostgres
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.migrate import migrate
from feature_atlas.models.session import make_engine

# a crash may lose what tests wrote: no waiting for the disk
SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
            "shared_buffers": "64MB"}  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def atlas_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing that a test does touches the user's atlas or database."""
    home = tmp_path_factory.mktemp("atlas-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLAS_HOME", str(home))
        patch.delenv("ATLAS_DATABASE_URL", raising=False)
        yield home


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the session's own server; its database `atlas` is empty."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), settings=SETTINGS)
    yield server.start()
    server.stop()


def database(server_url: str, name: str) -> str:
    """Address of another database of the same server."""
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def create_database(server_url: str, name: str, template: str = "template0") -> str:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return database(server_url, name)


def drop_database(server_url: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@contextmanager
def temporary_database(server_url: str, template: str = "template0") -> Iterator[str]:
    """Address of a copy of a database, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield create_database(server_url, name, template)
    drop_database(server_url, name)


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """Name of a database with the newest schema, from which others are copied."""
    engine = make_engine(create_database(postgres_url, "migrated"))
    migrate(engine)
    engine.dispose()
    return "migrated"


@pytest.fixture
def empty_url(postgres_url: str) -> Iterator[str]:
    """Address of a database without a schema."""
    with temporary_database(postgres_url) as url:
        yield url


@pytest.fixture
def fresh_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """Address of a database with the newest schema and no run."""
    with temporary_database(postgres_url, template_database) as url:
        yield url


@pytest.fixture
def engine(fresh_url: str) -> Iterator[Engine]:
    """A database with the newest schema and no run."""
    engine = make_engine(fresh_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete synthetic run folder; only read it."""
    return write_run_folder(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def loaded_url(postgres_url: str, template_database: str, run_folder: Path) -> str:
    """Address of a database with one published synthetic run; only read it."""
    url = create_database(postgres_url, "loaded", template_database)
    engine = make_engine(url)
    ingest(run_folder, engine)
    engine.dispose()
    return url


@pytest.fixture(scope="session")
def loaded_engine(loaded_url: str) -> Iterator[Engine]:
    """A database with one published synthetic run; only read it."""
    engine = make_engine(loaded_url)
    yield engine
    engine.dispose()


def pytest_configure() -> None:
    # libpq would take these for missing parts of an address
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
