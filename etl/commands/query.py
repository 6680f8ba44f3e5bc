"""`feature-atlas query`: a statement of one's own or a saved one, printed; or all saved ones."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, TextIO

from rich.console import Console
from sqlalchemy import Engine, text

from feature_atlas.etl.postgres.embedded import ensure_database
from feature_atlas.etl.printed_rows import print_columns
from feature_atlas.etl.terminal import complaints, console_on
from feature_atlas.etl.warehouse.migrate import find_atlas
from feature_atlas.models.named_parameters import parameter_names
from feature_atlas.models.notation.csv_text import write_csv
from feature_atlas.models.notation.json_text import write_json
from feature_atlas.models.saved_query import SAVED_QUERIES, SavedQuery, find, saved_query
from feature_atlas.models.session import database_url, make_reader_engine
from feature_atlas.models.user_sql import run_user_sql

MAX_ROWS = 10_000
"""Rows that `query` prints at most; exports are for more."""


def print_query(sql: str, said: Sequence[str], output: str, stream: TextIO) -> None:
    """Run one statement as the read-only role, and print its rows."""
    values = _named(said)
    names = parameter_names(sql)
    if set(names) != set(values):
        asked, given = (", ".join(some) or "none" for some in (names, values))
        raise ValueError(f"the statement asks for values of {asked}; given: {given}.")
    _print_answer(_reader(), sql, values, output, stream)


def print_saved(slug: str, said: Sequence[str], output: str, stream: TextIO) -> None:
    """Run one of the saved queries, with the values that are said or its defaults."""
    engine = make_reader_engine(find_atlas())
    query = find(saved_queries(engine), slug)
    _print_answer(engine, query.sql, query.values(_named(said)), output, stream)


def list_saved(console: Console) -> None:
    """Every saved query by topic: its name, its question, and what can be chosen."""
    for topic, queries in groupby(
        saved_queries(make_reader_engine(find_atlas())), key=lambda query: query.topic
    ):
        rows = [(q.slug, q.title, _choices(q)) for q in queries]
        print_columns(console, topic, ("name", "question", "choose"), rows)
    console.print("feature-atlas query --saved NAME [PARAMETER=VALUE]", highlight=False)


def saved_queries(engine: Engine) -> list[SavedQuery]:
    """In the order of the cookbook."""
    with engine.connect() as connection:
        return [saved_query(*row) for row in connection.execute(text(SAVED_QUERIES))]


def _print_answer(
    engine: Engine, sql: str, values: Mapping[str, Any], output: str, stream: TextIO
) -> None:
    answer = run_user_sql(engine, sql, max_rows=MAX_ROWS, values=values)
    if output == "csv":
        write_csv(stream, answer.names, answer.rows)
    elif output == "json":
        write_json(stream, answer.names, answer.rows)
    else:
        print_columns(console_on(stream), "", answer.names, answer.rows)
    if answer.is_cut:
        complaints.print(f"stopped after {MAX_ROWS:,} rows: add a LIMIT or aggregate")


def _reader() -> Engine:
    ensure_database()
    return make_reader_engine(database_url())


def _named(said: Sequence[str]) -> dict[str, str]:
    """Values by name, of words such as least=0.8."""
    values = {}
    for word in said:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"expected PARAMETER=VALUE, such as least=0.8; {word!r} is neither.")
        values[name] = value
    return values


def _choices(query: SavedQuery) -> str:
    return " ".join(f"{parameter.name}={parameter.default}" for parameter in query.parameters)
