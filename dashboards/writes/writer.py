"""The connection by which the pages write, as atlas_writer, and why there may be none."""

import streamlit as st
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from feature_atlas.dashboards import queries
from feature_atlas.models.session import database_url, make_writer_engine

REFUSED = (ValueError, PermissionError, RuntimeError, SQLAlchemyError)
"""What writing may raise that its user should read."""


def writer() -> Engine:
    """Connections of the role; raises where it cannot be taken."""
    return _engine(database_url())


@st.cache_data(ttl=queries.TTL, show_spinner=False)
def why_not() -> str | None:
    """Why nothing can be written, and what to do; None: it can."""
    try:
        with writer().connect():
            return None
    except (PermissionError, RuntimeError) as error:
        return str(error)
    except OperationalError:
        return "the database does not answer: run `feature-atlas doctor`."


@st.cache_resource(show_spinner=False)
def _engine(url: str) -> Engine:
    return make_writer_engine(url)
