"""One list: its features with the run's numbers, page by page, and what can be done with it."""

from html import escape

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from feature_atlas.dashboards.lists.chosen_entries import show_entries
from feature_atlas.dashboards.lists.list_csv import show_saving, show_taking_in
from feature_atlas.dashboards.lists.outcome import PAGE, attempt, tell
from feature_atlas.dashboards.sql.open_in_sql import open_in_sql
from feature_atlas.dashboards.typed import typed
from feature_atlas.dashboards.writes.lists import change_list, delete_list
from feature_atlas.dashboards.writes.writer import why_not


def show_one(title: DeltaGenerator, run: pd.Series, one: pd.Series) -> None:
    """Its title, its features, its buttons."""
    title.html(f"<h1>{escape(one.title)}</h1>")  # Markdown makes links of bare addresses
    st.text(f"by {one.owner}, {one.created_at:%d %b %Y}, {one.n_features:,} features")
    if one.note:
        st.text(one.note)
    show_entries(one, int(run.run_id))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(PAGE, label="All lists", icon=":material/arrow_back:",
                     query_params={"run": str(run.run_id)})  # fmt: skip
        show_saving(one.slug, int(run.run_id))
        if why_not() is None:
            show_taking_in("csv", int(run.run_id), one.title)
            _show_changing(one)
            _show_deleting(one)
    tell("csv")
    tell(one.slug)
    open_in_sql(
        "The same in SQL", "listed_sql", sql(one.slug, int(run.run_id)),
        "`feature-atlas query` runs it. A copied address of this page shares the list.",
    )  # fmt: skip


def sql(slug: str, run_id: int) -> str:
    """The list's features in one run; a slug has no quotes."""
    return (
        "SELECT layer, feature, label, f1, cosine, visual_energy, note\n"
        "FROM atlas.listed JOIN atlas.feature_all_runs USING (run_id, layer, feature)\n"
        f"WHERE list = '{slug}' AND run_id = {run_id}"
    )


def _show_changing(one: pd.Series) -> None:
    with st.popover("Title and note", icon=":material/edit:", key="change", on_change="rerun") as b:
        if b.open:
            with st.form("change_form", border=False):
                st.text_input("Title", one.title, max_chars=200, key=f"{one.slug}_title")
                st.text_area("Note", one.note or "", max_chars=2000, key=f"{one.slug}_note")
                st.form_submit_button("Save", on_click=_change, args=(one.slug,))


def _change(slug: str) -> None:
    title, note = typed(slug, "title", "note")

    def write() -> tuple[str, None]:
        change_list(slug, title, note)
        return "Saved.", None

    if attempt(slug, write):
        st.session_state["change"] = False


def _show_deleting(one: pd.Series) -> None:
    with st.popover("Delete", icon=":material/delete:", key="delete", on_change="rerun") as box:
        if box.open:
            st.text(f"Delete this list with its {one.n_features:,} features, for everybody?")
            st.button("Delete it for good", type="primary", on_click=_delete, args=(one.slug,))


def _delete(slug: str) -> None:
    def write() -> tuple[str, None]:
        delete_list(slug)
        return "The list is deleted.", None

    if attempt("new_list", write):
        st.query_params.pop("list", None)
