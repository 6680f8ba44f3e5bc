"""The connection that all queries share, and how long an answer is kept."""

from collections.abc import Callable
from typing import Any, cast

import pandas as pd
import streamlit as st
from sqlalchemy import Engine, Executable, text
from sqlalchemy.exc import OperationalError
from streamlit.logger import set_log_level

from feature_atlas.models.session import database_url, make_reader_engine

TTL = 60.0
"""Seconds an answer is kept: a published run stays as it is, labels and reviews may change."""

KEPT_TTL = 600.0
"""Seconds a sum over a published run is kept; not for ever, since databases come and go."""

MAX_ROWS = 500
"""Rows of a table on a page."""


if not st.runtime.exists():  # a command: Streamlit would warn, for every query, that nobody looks
    set_log_level("ERROR")


@st.cache_resource(show_spinner=False)
def _engine(url: str) -> Engine:
    return make_reader_engine(url)


def select(sql: str, **values: Any) -> pd.DataFrame:
    """The rows of one SELECT."""
    return select_statement(text(sql).bindparams(**values))


def select_statement(statement: Executable) -> pd.DataFrame:
    """The rows of a SELECT that was put together."""
    with _engine(database_url()).connect() as connection:
        # not pandas.read_sql: it hides which database error it was
        rows = connection.execute(statement)
        return pd.DataFrame(rows.all(), columns=list(rows.keys()))


def missing_address() -> str | None:
    """Why nobody can be asked, and what to do; None: there is an address."""
    try:
        database_url()
    except RuntimeError as error:
        return str(error)
    return None


def is_reachable() -> bool:
    """Whether the database can be asked now."""
    try:
        select("SELECT 1")
    except (RuntimeError, OperationalError):
        return False
    return True


_CACHED: list[Any] = []


def cached(query: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """The query, asked again only after `TTL`, or when somebody wrote something."""
    _CACHED.append(st.cache_data(query, ttl=TTL, show_spinner=False))
    return cast(Callable[..., pd.DataFrame], _CACHED[-1])


def forget() -> None:
    """A page wrote: ask anew all that may show it, which is what is `cached`."""
    for query in _CACHED:
        query.clear()


def kept(query: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """The query of a published run's own numbers, which are costly to sum and stay as they are."""
    return st.cache_data(query, ttl=KEPT_TTL, max_entries=200, show_spinner=False)
