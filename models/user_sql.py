"""One statement that a user wrote, run so that it can read and do nothing else."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from sys import getsizeof
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Engine

from feature_atlas.models.named_parameters import Numbered, numbered
from feature_atlas.models.notation.exact_values import load_exactly
from feature_atlas.models.session import NO_ATLAS
from feature_atlas.models.storable_text import fault_of

CURSOR = "user_sql"
SENT_BEFORE = f'DECLARE "{CURSOR}" NO SCROLL CURSOR FOR '
"""What the driver puts before the statement: the database counts places from its beginning."""

MOST_BYTES = 256 * 2**20
"""Of an answer's values in memory."""

SHOWN_BEFORE, SHOWN_AFTER = 60, 40
"""Characters of a long line that are shown on both sides of a place."""


class Answer(NamedTuple):
    """What a statement returned."""

    names: list[str]
    """Of the columns, in order; two may be the same."""
    rows: list[tuple[Any, ...]]
    """In order, of values as `models/notation/exact_values` has them."""
    is_cut: bool
    """Whether there were more rows than were asked for."""
    types: list[str]
    """Of the columns, as PostgreSQL says them: int4[], numeric(5,2)."""


def run_user_sql(
    engine: Engine, statement: str, *, max_rows: int, values: Mapping[str, Any] | None = None
) -> Answer:
    """The first `max_rows` rows of one SELECT; `:name` stands for values[name].

    `engine` is one of `make_reader_engine`. All rows come in one FETCH, because a query may change
    the time limit of the statements after it, never its own.
    """
    try:
        with engine.connect() as connection:  # on the way out all is rolled back, settings too
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            with user_cursor(driver, statement, values) as cursor:
                columns = cursor.description or []
                rows = _fetched(driver, max_rows + 1)
    except psycopg.errors.UndefinedTable:
        _require_atlas(engine)
        raise
    names, types = [c.name for c in columns], [c.type_display for c in columns]
    return Answer(names, rows[:max_rows], len(rows) > max_rows, types)


def _fetched(connection: psycopg.Connection[Any], n_rows: int) -> list[tuple[Any, ...]]:
    """The first rows, which come one at a time: a cell may be a gigabyte."""
    fetching = psycopg.RawCursor(connection)
    load_exactly(fetching)
    rows: list[tuple[Any, ...]] = []
    n_bytes = 0
    for row in fetching.stream(f'FETCH FORWARD {n_rows} FROM "{CURSOR}"'.encode()):
        n_bytes += _size(row)
        if n_bytes > MOST_BYTES:
            raise ValueError(
                f"the first {len(rows) + 1} rows take more than {MOST_BYTES // 2**20} MB: ask for "
                "fewer rows or columns, for left(a_long_text, 1000), or take the rows in a file, "
                "with `feature-atlas export query`."
            )
        rows.append(row)
    return rows


def _size(value: Any) -> int:
    """Bytes that a value takes in memory, and what is in it."""
    return getsizeof(value) + (sum(map(_size, value)) if isinstance(value, list | tuple) else 0)


def _require_atlas(engine: Engine) -> None:
    with engine.connect() as connection:
        if connection.exec_driver_sql("SELECT to_regclass('atlas.run')").scalar() is None:
            raise RuntimeError(NO_ATLAS) from None


@contextmanager
def user_cursor(
    connection: psycopg.Connection[Any], statement: str, values: Mapping[str, Any] | None = None
) -> Iterator[psycopg.RawServerCursor[Any]]:
    """The rows of one SELECT, to be fetched.

    A server-side cursor takes a single query: a second statement, SET, COPY and a data-changing
    WITH are syntax errors. An error of the database says in its text where in the statement it is:

        column "lable" does not exist
        line 2, column 8:
        SELECT lable
               ^
        Perhaps you meant to reference the column "feature.label".
    """
    sent = _sent(statement, values)
    try:
        with psycopg.RawServerCursor(connection, CURSOR, scrollable=False) as cursor:
            load_exactly(cursor)
            cursor.execute(sent.sql.encode(), sent.values)
            yield cursor
    except psycopg.Error as error:
        error.args = (_told(error, statement, sent, SENT_BEFORE),)
        raise


def explain_user_sql(
    engine: Engine, statement: str, values: Mapping[str, Any] | None = None
) -> str:
    """How the database would answer one SELECT, as EXPLAIN says it; nothing of it is run."""
    sent = _sent(statement, values)
    before = f"EXPLAIN {SENT_BEFORE}"  # of a cursor: so it explains one SELECT, and never runs it
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        cursor = psycopg.RawCursor(driver)
        try:  # prepared, since that takes a single statement
            cursor.execute(f"{before}{sent.sql}".encode(), sent.values, prepare=True)
            return "\n".join(line for (line,) in cursor)
        except psycopg.Error as error:
            error.args = (_told(error, statement, sent, before),)
            raise


def _sent(statement: str, values: Mapping[str, Any] | None) -> Numbered:
    fault = fault_of(statement)
    if fault is not None:
        raise ValueError(f"the statement has {fault}.")
    return numbered(statement, values or {})


def _told(error: psycopg.Error, statement: str, sent: Numbered, sent_before: str) -> str:
    """What is wrong, where, and what else the database says."""
    said = error.diag
    parts = [said.message_primary or str(error).strip() or type(error).__name__]
    if said.statement_position is not None:
        place = int(said.statement_position) - 1 - len(sent_before)
        parts.append(_pointed(statement, sent.written_place(max(place, 0))))
    return "\n".join([*parts, *filter(None, (said.message_detail, said.message_hint))])


def _pointed(statement: str, place: int) -> str:
    """The line of a place, and a caret under it."""
    number = statement.count("\n", 0, place) + 1
    begin = statement.rfind("\n", 0, place) + 1
    before = statement[begin:place]
    after = statement[place:].partition("\n")[0].rstrip()
    if len(before) > SHOWN_BEFORE:
        before = f"...{before[-SHOWN_BEFORE:]}"
    if len(after) > SHOWN_AFTER:
        after = f"{after[:SHOWN_AFTER]}..."
    caret = re.sub(r"[^\t]", lambda found: " " * _width(found[0]), before) + "^"
    return f"line {number}, column {place - begin + 1}:\n{before}{after}\n{caret}"


def _width(character: str) -> int:
    """Of a character on a terminal, in columns."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
