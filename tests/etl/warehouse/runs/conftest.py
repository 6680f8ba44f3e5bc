"""An atlas with four runs, shared by the tests of runs as versions."""

from pathlib import Path

import pytest
from databases import create_database
from run_folder import write_run_folder

from feature_atlas.etl.warehouse.load import ingest
from feature_atlas.models.session import make_engine


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs of one lineage, oldest first, and one of another."""
    place = tmp_path_factory.mktemp("versions")
    return [
        *(write_run_folder(place, seed=seed) for seed in range(3)),
        write_run_folder(place, seed=3, name="other"),
    ]


@pytest.fixture(scope="session")
def filled(postgres_url: str, template_database: str, folders: list[Path]) -> str:
    """Name of a database with the other lineage's run and then the three; copied, never used."""
    engine = make_engine(create_database(postgres_url, "versions", template_database))
    for folder in (folders[3], *folders[:3]):
        ingest(folder, engine)
    engine.dispose()
    return "versions"
