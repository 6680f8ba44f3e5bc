"""An address that was given is used; a bad one or none is explained."""

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from feature_atlas.etl.postgres.embedded import ensure_database
from feature_atlas.etl.postgres.given_server import capabilities, check_server
from feature_atlas.models.session import database_url, shown_address


def test_a_given_address_is_used_and_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, tmp_path: Path
):
    monkeypatch.setenv("ATLAS_HOME", str(tmp_path))
    monkeypatch.setenv("ATLAS_DATABASE_URL", postgres_url)

    assert ensure_database() == database_url() == postgres_url
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_address_is_named_without_its_password():
    url = "postgresql://me:secret@127.0.0.1:1/atlas"

    with pytest.raises(
        RuntimeError, match=r"cannot reach the database at 127\.0\.0\.1:1/atlas"
    ) as said:
        check_server(url)

    assert "secret" not in str(said.value)
    assert "ATLAS_DATABASE_URL must name a running PostgreSQL 15 or newer" in str(said.value)


def test_an_address_that_names_a_driver_is_understood(postgres_url: str):
    check_server(postgres_url.replace("postgresql://", "postgresql+psycopg://"))


def test_without_a_server_the_address_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("ATLAS_HOME", str(tmp_path))
    monkeypatch.delenv("ATLAS_DATABASE_URL", raising=False)

    with pytest.raises(RuntimeError, match="no embedded server runs in"):
        database_url()


def test_search_by_meaning_can_be_offered(postgres_url: str):
    assert "vector" in capabilities(postgres_url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:sec/ret@127.0.0.1:1/atlas",
        "postgresql://me:se#cret@127.0.0.1:1/atlas",
        "postgresql://me:sec@r/et?@127.0.0.1:1/atlas",
        "postgresql://me:se%cret@127.0.0.1:1/atlas",
        "postgresql://me:[secret@127.0.0.1:port/atlas",
        "host=127.0.0.1 password=secret",
    ],
)
def test_what_is_no_address_is_refused_without_a_word_of_it(
    url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)

    for ask in (database_url, ensure_database):
        with pytest.raises(RuntimeError, match="ATLAS_DATABASE_PASSWORD as it is") as said:
            ask()
        assert not any(part in str(said.value) for part in ("sec", "cret", "127"))


def test_an_address_is_shown_without_its_password():
    assert shown_address("postgresql://me:s%40crt@db:6000/atlas") == "db:6000/atlas"
    assert shown_address("postgresql://db/atlas?user=me&password=secret") == "db:5432/atlas"


def test_a_password_of_its_own_may_have_any_characters(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATLAS_DATABASE_URL", "postgresql://me@db/atlas")
    monkeypatch.setenv("ATLAS_DATABASE_PASSWORD", "p@s/s#w%rd: ?")

    assert make_url(database_url()).password == "p@s/s#w%rd: ?"
