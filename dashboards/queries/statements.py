"""Statements of readers: run or explained within their limits, and those that are saved."""

import time
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from feature_atlas.dashboards.queries.database import cached, select
from feature_atlas.models.saved_query import SAVED_QUERIES
from feature_atlas.models.session import database_url, make_reader_engine
from feature_atlas.models.user_sql import Answer, explain_user_sql, run_user_sql


class Timed(NamedTuple):
    """What a statement returned, and how long that took."""

    answer: Answer
    seconds: float


def answered(sql: str, values: dict[str, Any], max_rows: int, max_seconds: int) -> Timed:
    """The first rows of one SELECT of a reader, as the role that only reads."""
    engine = _engine(database_url(), max_seconds)
    begun = time.perf_counter()
    answer = run_user_sql(engine, sql, max_rows=max_rows, values=values)
    return Timed(answer, time.perf_counter() - begun)


def explained(sql: str, values: dict[str, Any], max_seconds: int) -> str:
    """How the database would answer it."""
    return explain_user_sql(_engine(database_url(), max_seconds), sql, values)


@cached
def saved_queries() -> pd.DataFrame:
    """slug, topic, title, description, sql, parameters of the cookbook's questions, in order."""
    return select(SAVED_QUERIES)


@cached
def schema_columns() -> pd.DataFrame:
    """schema, relation, kind, column, type, unit, range, description, relation_description,
    n_rows_estimate of all that may be read; views first, in the order of names."""
    return select(
        """
        SELECT schema, relation, kind, "column", type, unit, range, description,
               relation_description, n_rows_estimate
        FROM atlas.columns ORDER BY schema, kind DESC, relation, place
        """
    )


@st.cache_resource(show_spinner=False)
def _engine(url: str, max_seconds: int) -> Engine:
    return make_reader_engine(url, statement_timeout=f"{max_seconds}s")
