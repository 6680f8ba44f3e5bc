"""Commands that only read never change the schema: they say what would."""

from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from feature_atlas.etl.commands.cli import app
from feature_atlas.models.session import make_engine

READING = [
    ["runs"],
    ["runs", "show", "1"],
    ["runs", "diff", "1", "2"],
    ["search", "left"],
    ["query", "--saved", "spatial-odds"],
    ["lists"],
    ["figures"],
    ["dashboard"],
    ["dictionary"],
    ["serve-model"],
    ["review", "export", "labels.csv"],
    ["export", "query", "select 1", "rows.csv"],
]

EVEN_SO = [["status"], ["query", "select 1 as one"]]
"""These do with whatever there is."""

SCHEMA = "SELECT obj_description(to_regnamespace('atlas')), to_regclass('atlas.run')"


def run(url: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    monkeypatch.setenv("ATLAS_DATABASE_URL", url)
    monkeypatch.setenv("COLUMNS", "400")
    engine = make_engine(url)
    with engine.connect() as connection:
        before = connection.execute(text(SCHEMA)).one()
        result = CliRunner().invoke(app, words)
        assert connection.execute(text(SCHEMA)).one() == before
    engine.dispose()
    return result.exit_code, result.output


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_an_empty_database_stays_empty(words: list[str], empty_url: str, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    code, said = run(empty_url, words, monkeypatch)

    assert (code, "there is no atlas in the database yet" in said) == (1, True), said
    assert [*Path().iterdir()] == []


@pytest.mark.parametrize("words", EVEN_SO, ids=" ".join)
def test_an_empty_database_is_no_error_where_nothing_is_asked_of_the_atlas(
    words: list[str], empty_url: str, monkeypatch
):
    assert run(empty_url, words, monkeypatch)[0] == 0


def test_a_question_to_an_empty_database_says_how_to_fill_it(empty_url: str, monkeypatch):
    code, said = run(empty_url, ["query", "select * from atlas.feature"], monkeypatch)

    assert (code, "there is no atlas in the database yet" in said) == (1, True), said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("COMMENT ON SCHEMA atlas IS 'views of old'", "feature-atlas migrate` brings it there"),
        ("UPDATE atlas.alembic_version SET version_num = '20261128_32_stable'",
         "has the schema 20261128_32_stable"),
        ("UPDATE atlas.alembic_version SET version_num = '20991231_99_wonder'",
         "which this program does not know: a newer feature-atlas made it"),
    ],
)  # fmt: skip
def test_another_schema_is_left_to_migrate(change: str, words: str, fresh_url: str, monkeypatch):
    engine = make_engine(fresh_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(change)
    engine.dispose()

    for command in (["runs"], ["dashboard"]):
        code, said = run(fresh_url, command, monkeypatch)
        assert (code, words in said) == (1, True), said
    for command in EVEN_SO:
        assert run(fresh_url, command, monkeypatch)[0] == 0


def test_a_command_that_writes_leaves_a_newer_schema_alone(fresh_url: str, monkeypatch):
    engine = make_engine(fresh_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE atlas.alembic_version SET version_num = 'newer'")
    engine.dispose()

    for command in (["migrate"], ["runs", "promote", "1"]):
        code, said = run(fresh_url, command, monkeypatch)
        assert (code, "a newer feature-atlas made it" in said) == (1, True), said
