"""A folded section, asked for, sent and drawn only while it is open: `?<key>=true`."""

from collections.abc import Callable

import streamlit as st


@st.fragment
def fold(title: str, key: str, show: Callable[[], None], icon: str | None = None) -> None:
    """Opening it runs `show` alone, not the page again."""
    with st.expander(title, key=key, icon=icon, bind="query-params") as section:
        if section.open:
            show()
