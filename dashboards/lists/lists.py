"""The lists that readers keep: all of them, or one, `?list=`, with the numbers of a run."""

import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.lists.all_lists import show_all
from feature_atlas.dashboards.lists.one_list import show_one
from feature_atlas.dashboards.run_choice import choose_run, quoted

title, choice = st.columns([3, 2], vertical_alignment="bottom")
run = choose_run(choice, keep=("list",))
slug = st.query_params.get("list")
if slug is None:
    title.title("Lists", help="Features that readers put together; runs come and go without them.")
    show_all(run)
    st.stop()
found = queries.feature_list(slug)
if found.empty:
    st.error(
        f"The address asks for list {quoted(slug)}, and there is none: it may have been deleted."
    )
    st.page_link("lists/lists.py", label="All lists", icon=":material/arrow_back:")
    st.stop()
show_one(title, run, found.iloc[0])
