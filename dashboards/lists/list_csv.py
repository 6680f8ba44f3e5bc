"""Lists as CSV on the pages: saved with the run's numbers, and taken in."""

import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.frame_csv import frame_csv
from feature_atlas.dashboards.lists.outcome import attempt
from feature_atlas.dashboards.signature import ask_name, remember_name
from feature_atlas.dashboards.typed import typed
from feature_atlas.dashboards.writes.lists import add_to_list, entries_of
from feature_atlas.models.lists.listing import EVERYTHING
from feature_atlas.models.notation.csv_text import parse_csv

LARGEST = 5
"""Megabytes of a file."""


def show_saving(slug: str, run_id: int) -> None:
    """A button that saves the whole list."""
    st.download_button(
        "CSV", lambda: frame_csv(queries.listed(slug, run_id, 0, EVERYTHING)), f"{slug}.csv",
        "text/csv", on_click="ignore", icon=":material/download:",
        help="The whole list with the run's numbers; the file comes back as the same list.",
    )  # fmt: skip


def show_taking_in(key: str, run_id: int, title: str | None) -> None:
    """A button that takes a file into the list of this title; None: its user types one."""
    with st.popover("Add from CSV", icon=":material/upload:", key=key, on_change="rerun") as box:
        if not box.open:
            return
        with st.form(f"{key}_form", border=False):
            if title is None:
                st.text_input("Title, of an old list or a new one", max_chars=200,
                              key=f"{key}_title")  # fmt: skip
            st.file_uploader(
                "CSV with the columns layer and feature, and note where there is one",
                type="csv", key=f"{key}_file", max_upload_size=LARGEST,
            )  # fmt: skip
            ask_name(f"{key}_name")
            st.form_submit_button("Add", on_click=_take_in, args=(key, run_id, title))


def _take_in(key: str, run_id: int, title: str | None) -> None:
    file = st.session_state.get(f"{key}_file")
    typed_title, name = typed(key, "title", "name")
    into = typed_title if title is None else title
    remember_name(name.strip())

    def write() -> tuple[str, str]:
        if file is None:
            raise ValueError("no file was chosen. Nothing was written.")
        entries = entries_of(parse_csv(file.getvalue(), file.name), file.name)
        added = add_to_list(run_id, into, entries, name)
        return f"{added.n_new:,} added, {added.n_there:,} were in it.", added.slug

    if attempt(key, write):
        st.session_state[key] = False
