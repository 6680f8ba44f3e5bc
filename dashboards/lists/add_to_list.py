"""A button that puts features into a list, an old one or a new one, wherever features are shown."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.lists.outcome import attempt, tell
from feature_atlas.dashboards.signature import ask_name, remember_name
from feature_atlas.dashboards.typed import typed
from feature_atlas.dashboards.writes.lists import Entry, add_to_list
from feature_atlas.dashboards.writes.writer import why_not

Picked = Callable[[], pd.DataFrame]
"""What is asked for layer and feature of each, when it comes to that."""


def show_adding(
    label: str, key: str, run_id: int, picked: Picked, tip: str | None = None, **options: Any
) -> None:
    """The button, which says `tip`; its form is there while it is open."""
    with st.popover(
        label,
        icon=":material/playlist_add:",
        key=f"{key}_adding",
        on_change="rerun",
        help=tip,
        **options,
    ) as box:
        if box.open:
            _show_form(key, run_id, picked)


def _show_form(key: str, run_id: int, picked: Picked) -> None:
    if problem := why_not():
        st.text(f"Lists cannot be written from this page: {problem}")
        return
    st.selectbox(
        "List",
        queries.lists(run_id).title.tolist(),
        index=None,
        key=f"{key}_title",
        accept_new_options=True,
        placeholder="choose one, or type a new title",
    )
    ask_name(f"{key}_name")
    st.text_input("Why (of all that are added)", max_chars=2000, key=f"{key}_note")
    st.button("Add", type="primary", key=f"{key}_add", on_click=_add, args=(key, run_id, picked))
    tell(key)


def _add(key: str, run_id: int, picked: Picked) -> None:
    title, name, note = typed(key, "title", "name", "note")
    remember_name(name.strip())

    def write() -> tuple[str, str]:
        features = picked()
        entries = [
            Entry(int(layer), int(feature), note)
            for layer, feature in zip(features.layer, features.feature, strict=True)
        ]
        added = add_to_list(run_id, title, entries, name)
        there = f"; {added.n_there:,} in it already" if added.n_there else ""
        return f"{added.n_new:,} added to {added.title}{there}.", added.slug

    attempt(key, write)
