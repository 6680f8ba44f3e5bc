"""The one place from which the pages write: a person's verdict on a label, as atlas_writer.

Rules and rows are those of `feature-atlas review`: `models/meaning/judgement.py`.
"""

import streamlit as st
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from feature_atlas.dashboards import queries
from feature_atlas.models.meaning.judgement import VERDICTS, Judgement, add_judgements
from feature_atlas.models.session import database_url, make_writer_engine

__all__ = ["VERDICTS", "Judgement", "save_review", "why_not"]


def save_review(run_id: int, judgement: Judgement) -> bool:
    """Write it, unless it is its reviewer's newest already; then labels are asked for anew."""
    with _engine(database_url()).begin() as connection:
        is_new = add_judgements(connection, run_id, [judgement]) == 1
    queries.forget_labels()
    return is_new


@st.cache_data(ttl=queries.TTL, show_spinner=False)
def why_not() -> str | None:
    """Why nothing can be written, and what to do; None: it can."""
    try:
        with _engine(database_url()).connect():
            return None
    except (PermissionError, RuntimeError) as error:
        return str(error)
    except OperationalError:
        return "the database does not answer: run `feature-atlas doctor`."


@st.cache_resource(show_spinner=False)
def _engine(url: str) -> Engine:
    return make_writer_engine(url)
