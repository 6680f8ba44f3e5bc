"""Passwords and keys come from a variable or from a file that another names, never from both."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from feature_atlas.models.secret import secret
from feature_atlas.models.session import database_url

PASSWORD = "p@ss/w:rd %40"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "password"
    written.write_text(PASSWORD + "\n")
    return written


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("A_PASSWORD", "ATLAS_DATABASE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def test_a_secret_is_what_its_variable_says(monkeypatch):
    monkeypatch.setenv("A_PASSWORD", PASSWORD)

    assert secret("A_PASSWORD") == PASSWORD


def test_a_secret_is_what_its_file_holds_without_the_line_end(monkeypatch, file):
    monkeypatch.setenv("A_PASSWORD_FILE", str(file))

    assert secret("A_PASSWORD") == PASSWORD


@pytest.mark.parametrize("name", ["A_PASSWORD", "A_PASSWORD_FILE"])
def test_an_empty_variable_is_none(monkeypatch, name):
    monkeypatch.setenv(name, "")

    assert secret("A_PASSWORD") is None


def test_both_are_refused(monkeypatch, file):
    monkeypatch.setenv("A_PASSWORD", "other")
    monkeypatch.setenv("A_PASSWORD_FILE", str(file))

    with pytest.raises(ValueError, match="A_PASSWORD and A_PASSWORD_FILE are both set"):
        secret("A_PASSWORD")


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "cannot be read"), (b"\xff\xfe", "cannot be read"), (b"\n", "empty")],
)
def test_a_file_without_a_secret_is_named(monkeypatch, tmp_path, content, why):
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("A_PASSWORD_FILE", str(file))

    with pytest.raises(ValueError, match=rf"A_PASSWORD_FILE names {file}, which .*{why}"):
        secret("A_PASSWORD")


def test_the_address_gets_the_password_that_it_lacks(monkeypatch, file):
    monkeypatch.setenv("ATLAS_DATABASE_URL", "postgresql://atlas@postgres:5432/atlas")
    monkeypatch.setenv("ATLAS_DATABASE_PASSWORD_FILE", str(file))

    address = make_url(database_url())

    assert (address.username, address.password) == ("atlas", PASSWORD)
    assert (address.host, address.port, address.database) == ("postgres", 5432, "atlas")


def test_a_password_in_the_address_stands(monkeypatch):
    address = "postgresql://atlas:its-own@postgres/atlas"
    monkeypatch.setenv("ATLAS_DATABASE_URL", address)
    monkeypatch.setenv("ATLAS_DATABASE_PASSWORD", "another")

    assert database_url() == address
