"""All lists, newest first, and a form for a new one."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.lists.list_csv import show_taking_in
from feature_atlas.dashboards.lists.outcome import attempt, page_of_list, tell
from feature_atlas.dashboards.signature import ask_name, remember_name
from feature_atlas.dashboards.typed import typed
from feature_atlas.dashboards.writes.lists import add_to_list
from feature_atlas.dashboards.writes.writer import why_not

NEW = "new_list"
TEXT = st.column_config.TextColumn


def show_all(run: pd.Series) -> None:
    """The lists with their links; where there is none, how to make one."""
    lists = queries.lists(run.run_id)
    if lists.empty:
        st.info(
            "No list yet. Make one below, or select rows of any table of features: a button "
            "under it puts them into a list."
        )
    else:
        _show_lists(lists, int(run.run_id))
    if problem := why_not():
        st.text(f"Lists cannot be written from this page: {problem}")
        return
    with st.form(NEW):
        title, name = st.columns([3, 1])
        title.text_input("Title of a new list", max_chars=200, key=f"{NEW}_title")
        with name:
            ask_name(f"{NEW}_name")
        st.form_submit_button("Make it", on_click=_make, args=(int(run.run_id),))
    tell(NEW)
    show_taking_in("csv", int(run.run_id), None)
    tell("csv")


def _show_lists(lists: pd.DataFrame, run_id: int) -> None:
    st.dataframe(
        lists.assign(link=[page_of_list(slug, run_id) for slug in lists.slug]),
        hide_index=True,
        column_order=[
            *("link", "title", "n_features", "n_here", "owner", "note", "created_at", "slug")
        ],
        column_config={
            "link": st.column_config.LinkColumn(
                "open", display_text=":material/open_in_new:", width=56
            ),
            "title": TEXT(width="large"),
            "n_features": st.column_config.NumberColumn("features", format="localized"),
            "n_here": st.column_config.NumberColumn(
                "in this run", format="localized", help="Of the base SAEs that the run starts from."
            ),
            "owner": TEXT("by"),
            "note": TEXT(width="medium"),
            "created_at": st.column_config.DatetimeColumn("made", format="D MMM YYYY HH:mm"),
            "slug": TEXT(help="Its name in SQL: atlas.listed.list."),
        },
        placeholder="",
    )


def _make(run_id: int) -> None:
    title, name = typed(NEW, "title", "name")
    remember_name(name.strip())

    def write() -> tuple[str, str]:
        made = add_to_list(run_id, title, [], name)
        return f"{made.title} is there.", made.slug

    if attempt(NEW, write):
        st.session_state[f"{NEW}_title"] = ""
