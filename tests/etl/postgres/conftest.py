"""A home with the data of an embedded server that does not run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from embedded_server import FAST, copy_home

from feature_atlas.etl.postgres.embedded import EmbeddedPostgres


@pytest.fixture(scope="session")
def stopped_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose server ran once: making its data folder takes seconds, copying it does not."""
    home = tmp_path_factory.mktemp("stopped")
    server = EmbeddedPostgres(home, settings=FAST)
    server.start()
    server.stop()
    return home


@pytest.fixture
def home(stopped_home: Path, tmp_path: Path) -> Iterator[Path]:
    """A home with data, where no server runs."""
    copy_home(stopped_home, tmp_path)
    yield tmp_path
    EmbeddedPostgres(tmp_path).stop()
