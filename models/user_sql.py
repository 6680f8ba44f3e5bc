"""One statement that a user wrote, run so that it can read and do nothing else."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Engine


class Answer(NamedTuple):
    """What a statement returned."""

    names: list[str]
    """Of the columns, in order."""
    rows: list[tuple[Any, ...]]
    """In order."""
    is_cut: bool
    """Whether there were more rows than were asked for."""


def run_user_sql(
    engine: Engine, statement: str, *, max_rows: int, values: Mapping[str, Any] | None = None
) -> Answer:
    """The first `max_rows` rows of one SELECT; `:name` stands for values[name].

    `engine` is one of `make_reader_engine`. A server-side cursor takes a single query: a second
    statement, SET, COPY and a data-changing WITH are syntax errors. All rows come in one FETCH,
    because a query may change the time limit of the statements after it, never its own.
    """
    query, parameters = _with_placeholders(statement.strip().rstrip(";"), values or {})
    with engine.connect() as connection:  # on the way out everything is rolled back, settings too
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        with driver.cursor("user_sql", scrollable=False) as cursor:
            cursor.execute(query, parameters)
            names = [column.name for column in cursor.description or ()]
            rows = cursor.fetchmany(max_rows + 1)
    return Answer(names, rows[:max_rows], len(rows) > max_rows)


def _with_placeholders(
    statement: str, values: Mapping[str, Any]
) -> tuple[bytes, Mapping[str, Any]]:
    """The statement as the driver wants it; a `:name` without a value is left as it is."""

    def placeholder(found: re.Match[str]) -> str:
        return f"%({found[1]})s" if found[1] in values else found[0]

    escaped = re.sub(r"(?<![:\w]):(\w+)", placeholder, statement.replace("%", "%%"))
    return escaped.encode(), values
