"""Copies of a filled database; a folder's own `filled` names it."""

from collections.abc import Iterator

import pytest
from databases import temporary_database
from sqlalchemy import Engine

from feature_atlas.models.session import make_engine


@pytest.fixture(scope="module")
def kept(postgres_url: str, filled: str) -> Iterator[Engine]:
    """A copy shared by the tests that change nothing."""
    with temporary_database(postgres_url, filled) as url:
        engine = make_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture
def url(postgres_url: str, filled: str) -> Iterator[str]:
    """Address of a copy of the test's own."""
    with temporary_database(postgres_url, filled) as url:
        yield url


@pytest.fixture
def atlas(url: str) -> Iterator[Engine]:
    """The test's own copy."""
    engine = make_engine(url)
    yield engine
    engine.dispose()
