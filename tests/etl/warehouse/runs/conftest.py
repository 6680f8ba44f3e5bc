"""An atlas with four runs, shared by the tests of runs as versions."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import create_database, temporary_database
from run_folder import write_run_folder
from sqlalchemy import Engine

from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine


@pytest.fixture(scope="package")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs of one lineage, oldest first, and one of another."""
    place = tmp_path_factory.mktemp("versions")
    return [
        *(write_run_folder(place, seed=seed) for seed in range(3)),
        write_run_folder(place, seed=3, name="other"),
    ]


@pytest.fixture(scope="package")
def filled(postgres_url: str, template_database: str, folders: list[Path]) -> str:
    """Name of a database with the other lineage's run and then the three; copied, never used."""
    engine = make_engine(create_database(postgres_url, "versions", template_database))
    for folder in (folders[3], *folders[:3]):
        ingest(folder, engine)
    engine.dispose()
    return "versions"


@pytest.fixture(scope="package")
def kept(postgres_url: str, filled: str) -> Iterator[Engine]:
    """The database with the four runs, shared by the tests that change nothing."""
    engine = make_engine(create_database(postgres_url, "versions_kept", filled))
    yield engine
    engine.dispose()


@pytest.fixture
def url(postgres_url: str, filled: str) -> Iterator[str]:
    """A database of the test's own with the four runs."""
    with temporary_database(postgres_url, filled) as url:
        yield url


@pytest.fixture
def atlas(url: str) -> Iterator[Engine]:
    """The database with the four runs."""
    engine = make_engine(url)
    yield engine
    engine.dispose()
