"""The MCP server, asked over stdin and stdout by the SDK's own client; attacked the same way."""

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import anyio
import psutil
import psycopg
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from run_folder import read_rows

COMMAND = ["-m", "feature_atlas.etl.commands.cli", "mcp", "--seconds", "20"]

QUESTIONS: dict[str, tuple[str, dict[str, object]]] = {
    "tables": ("tables", {}),
    "describe": ("describe", {"name": "atlas.spatial"}),
    "describe nothing": ("describe", {"name": "pg_authid"}),
    "query": (
        "query",
        {"sql": "SELECT layer, count(*) AS n FROM atlas.feature GROUP BY 1 ORDER BY 1"},
    ),
    "mistake": ("query", {"sql": "SELECT layer,\n  lable FROM atlas.feature"}),
    "feature": ("feature", {"layer": 1, "feature": 2}),
    "feature of a run": ("feature", {"layer": 1, "feature": 2, "run": "1"}),
    "no feature": ("feature", {"layer": 1, "feature": 64}),
    "no run": ("feature", {"layer": 1, "feature": 2, "run": "stable"}),
    "no number": ("feature", {"layer": "one", "feature": 2}),
    "ten million rows": (
        "query",
        {"sql": "SELECT i FROM generate_series(1, 10000000) AS i", "max_rows": 1000},
    ),
    "too many rows": ("query", {"sql": "SELECT 1", "max_rows": 1001}),
    "many characters": (
        "query",
        {"sql": "SELECT repeat('x', 90000) AS x FROM generate_series(1, 9)"},
    ),
    "a long row": ("query", {"sql": "SELECT repeat('x', 900000) AS x"}),
    "two names": ("query", {"sql": "SELECT 1 AS x, 2 AS x"}),
}

ATTACKS = {
    "DELETE FROM atlas.review": "syntax error",
    "SELECT 1; DROP SCHEMA atlas CASCADE": "multiple commands",
    "WITH gone AS (DELETE FROM atlas.review RETURNING 1) SELECT * FROM gone": "WITH",
    "SET ROLE postgres": "syntax error",
    "SELECT set_config('role', 'pg_read_all_data', false)": "permission denied",
    "SELECT set_config('session_authorization', 'atlas', false)": "permission denied",
    "SELECT pg_read_file('/etc/passwd')": "permission denied",
    "SELECT pg_ls_dir('/')": "permission denied",
    "SELECT lo_import('/etc/passwd')": "permission denied",
    "SELECT lo_create(0)": "permission denied",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> current_user":
        "permission denied",
    "SELECT rolpassword FROM pg_authid": "permission denied",
    "COPY (SELECT 1) TO PROGRAM 'id'": "syntax error",
    "SELECT pg_sleep(60)": "longer than it may",
    "SELECT repeat('x', 3000000) FROM generate_series(1, 1000)": "",
}  # fmt: skip
"""Each with a part of what it is told."""

LOOSENED = "SELECT set_config('statement_timeout', '0', false)"
TIME_LIMIT = "SELECT current_setting('statement_timeout') AS seconds, current_user AS me"


class Said(NamedTuple):
    text: str
    is_error: bool


class Session(NamedTuple):
    names: list[str]
    """Of the tools."""
    is_reading: bool
    """Whether every tool says that it only reads."""
    answers: dict[str, Said]
    attacks: dict[str, Said]
    limits: Said
    """Asked last, after somebody tried to loosen them."""
    megabytes: float
    """The server's peak memory."""


@pytest.fixture(scope="module")
def session(loaded_url: str, tmp_path_factory: pytest.TempPathFactory) -> Session:
    home = str(tmp_path_factory.mktemp("mcp"))
    settings = {**os.environ, "ATLAS_DATABASE_URL": loaded_url, "ATLAS_HOME": home}
    return anyio.run(_talk, settings)


async def _talk(settings: dict[str, str]) -> Session:
    server = StdioServerParameters(command=sys.executable, args=COMMAND, env=settings)
    async with Client(server) as client:

        async def ask(tool: str, arguments: dict[str, object]) -> Said:
            result = await client.call_tool(tool, arguments)
            return Said(result.content[0].text, bool(result.is_error))

        tools = (await client.list_tools()).tools
        answers = {name: await ask(*question) for name, question in QUESTIONS.items()}
        attacks = {sql: await ask("query", {"sql": sql}) for sql in (*ATTACKS, LOOSENED)}
        limits = await ask("query", {"sql": TIME_LIMIT})
        return Session(
            [tool.name for tool in tools],
            all(tool.annotations and tool.annotations.read_only_hint for tool in tools),
            answers,
            attacks,
            limits,
            _peak(),
        )


def test_there_are_four_tools_that_read(session: Session):
    assert session.names == ["tables", "describe", "query", "feature"]
    assert session.is_reading


def test_tables_and_columns_are_told_with_their_meaning(session: Session):
    told = {row["name"]: row for row in _rows(session.answers["tables"])}
    assert told["decoder_cosine"]["rows"] == 6 * 128
    assert told["spatial"]["meaning"] == "spatial features of the current run (4.3)"
    assert any(name.startswith("run_diff(before integer") for name in told)

    columns = {row["name"]: row for row in _rows(session.answers["describe"])}
    assert columns["cosine"]["type"] == "real"
    assert "1: kept" in columns["cosine"]["meaning"]


def test_a_query_is_answered_in_json(session: Session):
    said = json.loads(session.answers["query"].text)

    assert said == {"is_cut": False, "rows": [{"layer": 0, "n": 64}, {"layer": 1, "n": 64}]}


def test_a_feature_comes_with_all_that_is_known_of_it(session: Session, run_folder: Path):
    told = json.loads(session.answers["feature"].text)

    cosines = read_rows(run_folder, "decoder_cosine").to_pandas()
    here = cosines.query("layer == 1 and feature == 2 and regime == 'text'")
    assert told["feature"][0]["cosine"] == pytest.approx(here.cosine.item())
    assert [row["skill"] for row in told["skills"]] == ["ocr", "spatial", "vsr"]
    assert told["samples"][0]["question"]
    assert told == json.loads(session.answers["feature of a run"].text)


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("describe nothing", "no table or view 'pg_authid' in the schema atlas: ask `tables`"),
        ("mistake", 'column "lable" does not exist (line 2, column 3); Perhaps you meant'),
        ("no feature", "has no feature 1/64: SELECT layer, n_features"),
        ("no run", "no published run 'stable'"),
        ("no number", "valid integer"),
        ("too many rows", "max_rows is 1001, expected 1 to 1000"),
        ("a long row", "first row alone is longer than 200,000 characters: name fewer columns"),
        ("two names", "more than one column called x: name them with AS"),
    ],
)
def test_a_mistake_is_told_in_a_sentence_with_its_place(question: str, told: str, session: Session):
    said = session.answers[question]

    assert (said.is_error, told in said.text) == (True, True), said.text


def test_an_answer_has_an_end_however_much_was_asked_for(session: Session):
    rows = json.loads(session.answers["ten million rows"].text)
    assert (rows["is_cut"], len(rows["rows"])) == (True, 1000)
    characters = json.loads(session.answers["many characters"].text)
    assert (characters["is_cut"], len(characters["rows"])) == (True, 2)


@pytest.mark.parametrize("sql", ATTACKS)
def test_an_attack_is_refused_and_told_so(sql: str, session: Session):
    said = session.attacks[sql]

    assert (said.is_error, ATTACKS[sql] in said.text) == (True, True), said.text
    assert "\n" not in said.text
    assert "Traceback" not in said.text


def test_attacks_leave_nothing_behind(session: Session, loaded_url: str):
    assert _rows(session.limits) == [{"seconds": "20s", "me": "atlas_reader"}]
    assert session.megabytes < 2048
    with psycopg.connect(loaded_url) as connection:
        row = connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone()
        assert row == (0,)


def _rows(said: Said) -> list[dict]:
    assert not said.is_error, said.text
    return json.loads(said.text)["rows"]


def _peak() -> float:
    """Of the server, a child of this process."""
    (server,) = [
        child for child in psutil.Process().children(recursive=True) if "mcp" in child.cmdline()
    ]
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) / 1024
