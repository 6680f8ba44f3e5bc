"""What any page says when the database does not answer; it goes on by itself when that does."""

from collections.abc import Callable

import streamlit as st
from psycopg.errors import QueryCanceled
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from feature_atlas.dashboards import queries

SECONDS = 2
"""Between two questions whether the database answers again."""


def run_page(page: Callable[[], None]) -> None:
    """The page, or in its place what is wrong with the database and what to do."""
    missing = queries.missing_address()
    if missing:
        _wait(missing)
        return
    try:
        page()
    except DBAPIError as error:
        _explain(error)


def _explain(error: DBAPIError) -> None:
    if isinstance(error.orig, QueryCanceled):
        st.error(
            "A question of this page took longer than the database may work on one. Ask for less, "
            "with another filter; or ask again when it has less to do."
        )
    elif isinstance(error, OperationalError):
        _wait(
            "The database does not answer. This page goes on by itself when it does; "
            "`feature-atlas doctor` says which address was tried and what to do."
        )
    elif isinstance(error, ProgrammingError):
        st.error(
            "The database has not the tables of the atlas that this page reads. Run "
            "`feature-atlas migrate`."
        )
        st.text(str(error.orig).splitlines()[0])
    else:
        raise error


@st.fragment(run_every=SECONDS)
def _wait(advice: str) -> None:
    """Say it, and look again and again."""
    st.error(advice)
    if queries.is_reachable():
        st.rerun()
