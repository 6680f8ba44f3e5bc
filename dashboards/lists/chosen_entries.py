"""The features of a list, page by page; those that are selected can be noted or taken out."""

from typing import Any

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.features.feature_table import LINK, page_of, rows_key
from feature_atlas.dashboards.lists.outcome import attempt, tell
from feature_atlas.dashboards.own_csv import own_csv
from feature_atlas.dashboards.queries import MAX_ROWS
from feature_atlas.dashboards.writes.lists import Entry, change_note, remove_from_list
from feature_atlas.dashboards.writes.writer import why_not

NUMBER, TEXT = st.column_config.NumberColumn, st.column_config.TextColumn
COLUMNS: dict[str, Any] = {
    LINK: st.column_config.LinkColumn("open", display_text=":material/open_in_new:", width=56),
    "layer": NUMBER(width="small"),
    "feature": NUMBER(width="small", format="%d"),
    "label": TEXT(width="large"),
    "note": TEXT("note", width="medium", help="Why it is in the list."),
    "f1": NUMBER("F1", format="%.2f", help="How well its label foretells firing; 1: perfect."),
    "cosine": NUMBER(format="%.3f", help="Decoder; 1: kept, 0: a new direction."),
    "visual_energy": NUMBER("E_v", format="%.3g"),
    "spatial_odds_ratio": NUMBER("spatial odds ratio", format="%.2f"),
    "ablation_pp": NUMBER("Δ VSR, pp", format="%+.1f", help="When removed."),
    "is_adapted": st.column_config.CheckboxColumn("adapted"),
    "added_by": TEXT("added by"),
    "seen_in": TEXT("seen in run"),
    "created_at": st.column_config.DatetimeColumn("added", format="D MMM YYYY HH:mm"),
}


def show_entries(one: pd.Series, run_id: int) -> None:
    """A page of the list with the run's numbers, and forms for what is selected."""
    if not one.n_features:
        st.info(
            "Nothing in it yet. Select rows of any table of features, as on Explore: a button "
            "under it puts them into a list."
        )
        return
    first = _first(int(one.n_features))
    rows = queries.listed(one.slug, run_id, first, MAX_ROWS)
    n_elsewhere = int((~rows.is_here.astype(bool)).sum())
    if n_elsewhere:
        st.text(
            f"{n_elsewhere:,} of them are of other base SAEs than this run's, and have no numbers "
            "here: choose a run that starts from theirs."
        )
    with own_csv("listed"):
        event = st.dataframe(
            rows.assign(
                **{LINK: [_link(row, run_id) for row in rows.itertuples()]},
                ablation_pp=100 * rows.ablation_delta.astype(float),
            ),
            hide_index=True,
            column_order=list(COLUMNS),
            column_config=COLUMNS,
            placeholder="",
            on_select="rerun",
            selection_mode="multi-row",
            key=rows_key("listed", rows),
        )
    _show_way(first, int(one.n_features))
    chosen = rows.iloc[event.selection.rows]
    if len(chosen) and why_not() is None:
        _show_forms(one.slug, chosen)
    tell("entries")


def _first(n_features: int) -> int:
    """`?first=` of the address: how many come before the page."""
    asked = st.query_params.get("first", "0")
    return int(asked) if asked.isdecimal() and int(asked) < n_features else 0


def _show_way(first: int, n_features: int) -> None:
    if n_features <= MAX_ROWS:
        return
    last = min(first + MAX_ROWS, n_features)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("First page", disabled=first == 0, on_click=_go, args=(0,))
        st.button("Next page", disabled=last == n_features, on_click=_go, args=(last,))
        st.text(f"{first + 1:,} to {last:,} of {n_features:,}")


def _go(first: int) -> None:
    st.query_params["first"] = str(first)


def _link(row: Any, run_id: int) -> str | None:
    return page_of(run_id, row.layer, row.feature) if row.is_here else None


def _show_forms(slug: str, chosen: pd.DataFrame) -> None:
    entries = [
        Entry(int(row.layer), int(row.feature), dictionary=row.dictionary)
        for row in chosen.itertuples()
    ]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(entries) == 1:
            before = None if pd.isna(chosen.note.iloc[0]) else str(chosen.note.iloc[0])
            key = f"note_{slug}_{entries[0].dictionary}_{entries[0].layer}_{entries[0].feature}"
            name = f"Note on layer {entries[0].layer}, feature {entries[0].feature}"
            st.text_input(name, before or "", max_chars=2000, key=key)
            st.button("Save the note", on_click=_note, args=(key, slug, entries[0], before))
        word = "it" if len(entries) == 1 else f"these {len(entries):,}"
        st.button(
            f"Take {word} out of the list", icon=":material/playlist_remove:",
            on_click=_remove, args=(slug, entries),
        )  # fmt: skip


def _note(key: str, slug: str, entry: Entry, before: str | None) -> None:
    note = str(st.session_state.get(key) or "")

    def write() -> tuple[str, None]:
        change_note(slug, entry._replace(note=note), before)
        return "Saved.", None

    attempt("entries", write)


def _remove(slug: str, entries: list[Entry]) -> None:
    def write() -> tuple[str, None]:
        return f"{remove_from_list(slug, entries):,} taken out.", None

    attempt("entries", write)
