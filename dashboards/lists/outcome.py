"""What became of something that was written: said once, below what sent it off."""

from collections.abc import Callable

import streamlit as st

from feature_atlas.dashboards.page_address import page_address
from feature_atlas.dashboards.writes.writer import REFUSED

PAGE = "lists/lists.py"


def attempt(key: str, write: Callable[[], tuple[str, str | None]]) -> bool:
    """Write, and keep what to say of it: words, and the list to open. Whether it was written."""
    try:
        st.session_state[f"{key}_outcome"] = (True, *write())
    except REFUSED as error:
        st.session_state[f"{key}_outcome"] = (False, str(error), None)
        return False
    return True


def tell(key: str) -> None:
    """What `attempt` kept; titles and what was typed are no markup."""
    said = st.session_state.pop(f"{key}_outcome", None)
    if said is None:
        return
    is_written, words, slug = said
    if not is_written:
        st.error("Not saved:")
    st.text(words)
    if slug is not None:
        link_to_list(slug)


def link_to_list(slug: str) -> None:
    """The way to a list, with the run that the reader looks at."""
    address = {"list": slug}
    if (run := st.query_params.get("run")) is not None:
        address["run"] = run
    st.page_link(PAGE, label="Open the list", icon=":material/list:", query_params=address)


def page_of_list(slug: str, run_id: int) -> str:
    """Address of a list's page."""
    return page_address("lists", list=slug, run=run_id)
