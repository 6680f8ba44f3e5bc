"""The lists that one feature is in, and what readers say of it."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.lists.add_to_list import show_adding
from feature_atlas.dashboards.lists.outcome import PAGE, attempt, tell
from feature_atlas.dashboards.signature import ask_name, remember_name
from feature_atlas.dashboards.typed import typed
from feature_atlas.dashboards.unmarked import unmarked
from feature_atlas.dashboards.writes.lists import add_comment
from feature_atlas.dashboards.writes.writer import why_not


def show_lists_with(run_id: int, layer: int, feature: int) -> None:
    """A button that adds the feature to a list, and a link to each that it is in."""
    place = pd.DataFrame({"layer": [layer], "feature": [feature]})
    key = f"one_{run_id}_{layer}_{feature}"
    found = queries.lists_with(run_id, layer, feature)
    with st.container(horizontal=True, vertical_alignment="center"):
        show_adding("Add to a list", key, run_id, lambda: place, "A list of features of your own.")
        for one in found.itertuples():
            st.page_link(
                PAGE,
                label=unmarked(one.title),
                icon=":material/list:",
                query_params={"list": one.slug, "run": str(run_id)},
            )


def show_comments(run_id: int, layer: int, feature: int) -> None:
    """All remarks, the newest first; a form for one more."""
    st.subheader(
        "Comments",
        help="Remarks of any kind. They change nothing, stay when runs go, and are shown in every "
        "run of the same base SAEs.",
    )
    said = queries.comments(run_id, layer, feature)
    if not said.empty:
        st.dataframe(
            said,
            hide_index=True,
            column_config={
                "said": st.column_config.TextColumn("comment", width="large"),
                "seen_in": st.column_config.TextColumn("seen in run"),
                "created_at": st.column_config.DatetimeColumn("when"),
            },
            placeholder="",
        )
    _show_comment_form(run_id, layer, feature)


def _show_comment_form(run_id: int, layer: int, feature: int) -> None:
    key = f"comment_{run_id}_{layer}_{feature}"
    if problem := why_not():
        st.text(f"Comments cannot be written from this page: {problem}")
        return
    with st.form(key):
        words, name = st.columns([3, 1])
        words.text_area("Comment", max_chars=2000, key=f"{key}_said", height=68)
        with name:
            ask_name(f"{key}_author")
        st.form_submit_button(
            "Save the comment", on_click=_save, args=(key, run_id, layer, feature)
        )
    tell(key)


def _save(key: str, run_id: int, layer: int, feature: int) -> None:
    said, author = typed(key, "said", "author")
    remember_name(author.strip())

    def write() -> tuple[str, None]:
        add_comment(run_id, layer, feature, said, author)
        return "Saved.", None

    if attempt(key, write):
        st.session_state[f"{key}_said"] = ""
