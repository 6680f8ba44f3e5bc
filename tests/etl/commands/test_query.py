"""`feature-atlas query`: what a user writes, as a table, CSV or JSON."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import Result
from typer.testing import CliRunner

from feature_atlas.etl.commands import query as command
from feature_atlas.etl.commands.cli import app

ATLAS = (sys.executable, "-m", "feature_atlas.etl.commands.cli")


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
    monkeypatch.setattr(command, "MAX_ROWS", 3)
    found = query("SELECT feature FROM atlas.feature", "csv")

    assert len(found.stdout.splitlines()) == 4
    assert "stopped after 3 rows" in found.stderr


def test_two_columns_of_one_name_are_both_there_or_refused(query: Callable[..., Result]):
    twice = "SELECT 11 AS a, 22 AS a"

    assert "11" in query(twice).stdout
    assert "22" in query(twice).stdout
    assert query(twice, "csv").stdout == "a,a\n11,22\n"
    refused = query(twice, "json")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "more than one column called a: name them with AS" in refused.stderr


def test_values_are_in_standard_notation(query: Callable[..., Result]):
    statement = r"""SELECT NULL AS n, '{"a": 0.10000000000000000000001}'::jsonb AS j,
        ARRAY['x', NULL] AS t, '\x00ff'::bytea AS b, interval '1 mon 90 s' AS i, 1e-30 AS d,
        'NaN'::float8 AS f, 'infinity'::date AS e, date '2026-11-22' AS day, int4range(1, 3) AS r"""

    assert query(statement, "json").stdout.splitlines()[1] == (
        r'{"n": null, "j": {"a": 0.10000000000000000000001}, "t": ["x", null], "b": "\\x00ff", '
        '"i": "P1MT1M30S", "d": 0.000000000000000000000000000001, "f": "NaN", "e": "infinity", '
        '"day": "2026-11-22", "r": "[1,3)"}'
    )
    assert query(statement, "csv").stdout.splitlines()[1] == (
        r',"{""a"": 0.10000000000000000000001}","[""x"", null]",\x00ff,P1MT1M30S,'
        '0.000000000000000000000000000001,NaN,infinity,2026-11-22,"[1,3)"'
    )


def test_a_wide_row_is_a_block_with_every_value(query: Callable[..., Result]):
    columns = ", ".join(f"{n}000000 AS column_{n}" for n in range(100, 130))
    said = query(f"SELECT {columns}, E'two\nlines' AS words").stdout.splitlines()

    assert said[0].startswith("-[ 1 ]---")
    assert said[1:31] == [f"column_{n} | {n}000000" for n in range(100, 130)]
    assert said[31:] == ["words      | two", "           | lines"]


def test_what_data_holds_does_not_steer_the_terminal(query: Callable[..., Result]):
    said = query("SELECT E'\x1b[31mred\r' AS words, '[bold]x' AS more").stdout

    assert "\\x1b[31mred\\r" in said
    assert "[bold]x" in said


def test_a_mistake_is_pointed_at(query: Callable[..., Result]):
    found = query("SELECT layer,\n  'é', lable\nFROM atlas.spatial")

    assert found.stderr.splitlines() == [
        'error: database: column "lable" does not exist',
        "line 2, column 8:",
        "  'é', lable",
        "       ^",
        'Perhaps you meant to reference the column "spatial.label".',
    ]


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "latin-1", "PGCLIENTENCODING": "LATIN1"},
    ],
)
def test_words_are_utf_8_whatever_the_locale(locale: dict[str, str], loaded_url: str):
    asked = [*ATLAS, "query", "SELECT 'é漢' AS \"ü\"", "--format", "json"]
    environment = os.environ | locale | {"ATLAS_DATABASE_URL": loaded_url}
    done = subprocess.run(asked, capture_output=True, env=environment, check=True)

    assert json.loads(done.stdout.decode("utf-8")) == [{"ü": "é漢"}]


@pytest.mark.parametrize("words", ["query --format csv", "query", "status"])
def test_who_reads_no_further_hears_nothing(words: str, loaded_url: str):
    command, *options = words.split()
    if command == "query":
        options = ["SELECT repeat('x', 9) FROM generate_series(1, 9999)", *options]
    reading, writing = os.pipe()
    os.close(reading)  # as `head` does when it has seen enough
    done = subprocess.run(
        [*ATLAS, command, *options],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=os.environ | {"ATLAS_DATABASE_URL": loaded_url},
        check=False,
    )
    os.close(writing)

    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


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


@pytest.fixture
def say(query: Callable[..., Result]) -> Callable[..., Result]:
    """`feature-atlas query WORDS`."""
    return lambda *words: CliRunner().invoke(app, ["query", *words])


def test_saved_queries_are_listed_by_topic(say: Callable[..., Result]):
    said = say("--saved").stdout

    assert said.index("What they see") < said.index("spatial-odds") < said.index("What they mean")
    assert "least=2.0" in said
    assert "Which features fire much more on spatial questions?" in said


def test_a_saved_query_takes_what_is_chosen_and_defaults_for_the_rest(say: Callable[..., Result]):
    def ranks(*chosen: str) -> list[int]:
        rows = json.loads(say("--saved", "strongest-samples", *chosen, "--format", "json").stdout)
        return [row["rank"] for row in rows if row["source"] == rows[0]["source"]]

    assert ranks()[:3] == ranks("layer=1", "feature=2")[:3] == [0, 1, 2]
    assert ranks("feature=63") == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--saved", "spatial-ods"], "no saved query 'spatial-ods' (did you mean spatial-odds?)"),
        (["--saved", "spatial-odds", "most=3"], "has no parameter 'most'; it has least=2.0."),
        (
            ["--saved", "spatial-odds", "least=low"],
            "least is 'low'; expected a number, such as 2.0",
        ),
        (["--saved", "spatial-odds", "3"], "expected PARAMETER=VALUE, such as least=0.8"),
        (["--saved", "runs", "a=3"], "runs has no parameter 'a'; it has none."),
        (["SELECT :a, :b", "a=1"], "the statement asks for values of a, b; given: a."),
        (["SELECT 1", "a=1"], "the statement asks for values of none; given: a."),
        ([], "expected one SELECT, or --saved"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(
    words: list[str], complaint: str, say: Callable[..., Result]
):
    said = say(*words)

    assert (said.exit_code, said.stdout) == (1, "")
    assert complaint in said.stderr


def test_a_statement_takes_values_whose_type_the_database_finds(say: Callable[..., Result]):
    said = say(
        "SELECT count(*) AS n FROM feature WHERE layer = :layer AND cosine < :most",
        "layer=1", "most=2.5", "--format", "csv",
    )  # fmt: skip

    assert said.stdout == "n\n64\n"
