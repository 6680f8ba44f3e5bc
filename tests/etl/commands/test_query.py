"""`feature-atlas query`: what a user writes, as a table, CSV or JSON."""

import csv
import io
import json
from collections.abc import Callable

import pytest
from click.testing import Result
from typer.testing import CliRunner

from feature_atlas.etl.commands import summary
from feature_atlas.etl.commands.cli import app


@pytest.fixture
def query(loaded_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("ATLAS_DATABASE_URL", loaded_url)

    def query(statement: str, form: str = "table") -> Result:
        return CliRunner().invoke(app, ["query", statement, "--format", form])

    return query


def test_rows_come_as_table_csv_or_json(query: Callable[..., Result]):
    statement = "SELECT layer, feature FROM atlas.spatial ORDER BY 1, 2 LIMIT 2;"

    assert "feature" in query(statement).stdout
    assert list(csv.reader(io.StringIO(query(statement, "csv").stdout))) == [
        ["layer", "feature"], ["0", "0"], ["0", "1"]
    ]  # fmt: skip
    assert json.loads(query(statement, "json").stdout) == [
        {"layer": 0, "feature": 0}, {"layer": 0, "feature": 1}
    ]  # fmt: skip


def test_colons_and_percents_mean_what_sql_means(query: Callable[..., Result]):
    found = query("SELECT ':x' AS a, '12:30'::time AS b, 'a%' LIKE '%\\%' AS c", "json")

    assert json.loads(found.stdout) == [{"a": ":x", "b": "12:30:00", "c": True}]


def test_more_rows_than_are_printed_are_mentioned(
    query: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(summary, "MAX_ROWS", 3)
    found = query("SELECT feature FROM atlas.feature", "csv")

    assert len(found.stdout.splitlines()) == 4
    assert "stopped after 3 rows" in found.stderr


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM atlas.review", 'syntax error at or near "DELETE"'),
        ("SELECT 1; DELETE FROM atlas.review", "cannot insert multiple commands"),
        ("SELECT pg_read_file('/etc/passwd')", "permission denied for function pg_read_file"),
        ("SELECT nothing", 'column "nothing" does not exist'),
    ],
)
def test_a_refusal_is_one_message_of_the_database(
    statement: str, said: str, query: Callable[..., Result]
):
    found = query(statement)

    assert found.exit_code == 1
    assert found.stdout == ""
    assert f"error: database: {said}" in " ".join(found.stderr.split())
