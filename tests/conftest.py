"""A real PostgreSQL for the whole session, and a fresh database for every test that asks.

`engine`: a database of its own with the newest schema, empty.
`loaded_engine`: a database with one published synthetic run (`tests/support/run_folder.py`), shared
by the session; only read it.
`published_engine`: a copy of it of the test's own.

Random inputs are the same every time, so that no test fails by chance; ATLAS_SEED=<any number>
draws others.
"""

import os
import random
import zlib

# several workers; and two threads of one small product only wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# read when Prefect is imported; its throw-away server starts slowly beside other work
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from databases import SETTINGS, create_database, temporary_database
from pretended_device import register
from run_folder import write_run_folder
from sqlalchemy import Engine

from feature_atlas.etl.postgres.embedded import EmbeddedPostgres
from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.etl.warehouse.migrate import migrate
from feature_atlas.models.session import make_engine

SEED = os.environ.get("ATLAS_SEED")
hypothesis.settings.register_profile("alike", derandomize=True, database=None)
if SEED is None:
    hypothesis.settings.load_profile("alike")

register()  # torch counts its devices when it first runs backwards, in whatever test that is


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
def published_database(postgres_url: str, template_database: str, run_folder: Path) -> str:
    """Name of a database with one published synthetic run, from which others are copied."""
    engine = make_engine(create_database(postgres_url, "published", template_database))
    ingest(run_folder, engine)
    engine.dispose()
    return "published"


@pytest.fixture(scope="session")
def loaded_url(postgres_url: str, published_database: str) -> str:
    """Address of a database with one published synthetic run; only read it."""
    return create_database(postgres_url, "loaded", published_database)


@pytest.fixture(scope="session")
def loaded_engine(loaded_url: str) -> Iterator[Engine]:
    """A database with one published synthetic run; only read it."""
    engine = make_engine(loaded_url)
    yield engine
    engine.dispose()


@pytest.fixture
def published_url(postgres_url: str, published_database: str) -> Iterator[str]:
    """Address of a database of the test's own with that run."""
    with temporary_database(postgres_url, published_database) as url:
        yield url


@pytest.fixture
def published_engine(published_url: str) -> Iterator[Engine]:
    """A database of the test's own with one published synthetic run."""
    engine = make_engine(published_url)
    yield engine
    engine.dispose()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    seed_all(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    seed_all(item)  # again: a fixture that others share may have drawn, and only for the first


def seed_all(item: pytest.Item) -> None:
    """A test's numbers follow from its name, whatever ran before it."""
    seed = zlib.crc32(f"{SEED} {item.nodeid}".encode())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (generators of tests draw from it)
    torch.default_generator.manual_seed(seed)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files begin first: else one worker is left with them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_configure() -> None:
    # libpq would take these for missing parts of an address
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
