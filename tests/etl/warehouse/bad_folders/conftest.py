"""A folder to spoil, and a database with a published run that no spoilt folder may change."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import create_database, drop_database
from loading import change
from sqlalchemy import Engine

from feature_atlas.models.session import make_engine


@pytest.fixture(scope="session")
def engine(postgres_url: str, published_database: str) -> Iterator[Engine]:
    """A database with a published run."""
    engine = make_engine(create_database(postgres_url, "bad_folders", published_database))
    yield engine
    engine.dispose()
    drop_database(postgres_url, "bad_folders")


@pytest.fixture
def folder(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the run folder that a test may spoil, as another run."""
    copy = Path(shutil.copytree(run_folder, tmp_path / run_folder.name))
    change(copy, lambda m: m.update(slug="copy-" + "5" * 8, config_hash="5" * 64))
    return copy
