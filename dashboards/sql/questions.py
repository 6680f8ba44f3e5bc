"""The cookbook's questions by topic; a click asks one."""

from itertools import groupby

import streamlit as st

from feature_atlas.dashboards.sql.asking import Asking, all_saved
from feature_atlas.dashboards.unmarked import unmarked

LEFT = "<style>.st-key-questions button * { text-align: left; justify-content: start }</style>"
"""A question longer than a line begins where the others do."""


def show_questions(asking: Asking) -> None:
    """A fold for each topic; that of the question which is asked is open."""
    st.html(LEFT)
    with st.container(key="questions"):
        for topic, saved in groupby(all_saved(), key=lambda query: query.topic):
            is_open = asking.saved is not None and asking.saved.topic == topic
            with st.expander(unmarked(topic), expanded=is_open), st.container(gap=None):
                for query in saved:
                    st.button(
                        unmarked(query.title), key=f"ask_{query.slug}", type="tertiary",
                        on_click=_open, args=(query.slug,),
                    )  # fmt: skip


def _open(slug: str) -> None:
    st.query_params.from_dict({"saved": slug})
