"""A form for a verdict on a label. What it saves is seen at once, here and in SQL."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards.signature import ask_name, remember_name
from feature_atlas.dashboards.typed import typed
from feature_atlas.dashboards.writes.review import VERDICTS, Judgement, save_review
from feature_atlas.dashboards.writes.writer import REFUSED, why_not

MEANINGS = {
    "accept": "the label stays, whatever is described later",
    "edit": "my own words become the label",
    "reject": "the feature has no label",
}
_SAID = "said_of_review"


def show_review_form(run_id: int, layer: int, feature: int, label: str | None) -> None:
    """Verdict, own words, note and name; `label` is what the reviewer sees."""
    key = f"review_{run_id}_{layer}_{feature}"
    if problem := why_not():
        st.text(f"Reviews cannot be written from this page: {problem}")
        return
    with st.form(key):
        st.radio(
            "Verdict on the label",
            VERDICTS,
            captions=[MEANINGS[verdict] for verdict in VERDICTS],
            horizontal=True,
            key=f"{key}_verdict",
        )
        own, name = st.columns([3, 1])
        own.text_input("Own words, for edit", max_chars=1000, key=f"{key}_description")
        with name:
            ask_name(f"{key}_reviewer")
        st.text_input("Why", max_chars=2000, key=f"{key}_note")
        st.form_submit_button(
            "Save the review", on_click=_save, args=(key, run_id, layer, feature, label)
        )
    _tell(st.session_state.pop(_SAID, None))


def _save(key: str, run_id: int, layer: int, feature: int, label: str | None) -> None:
    boxes = typed(key, "verdict", "description", "note", "reviewer")
    verdict, description, note, reviewer = map(str.strip, boxes)
    remember_name(reviewer)
    judgement = Judgement(
        layer=layer,
        feature=feature,
        verdict=verdict,
        description=description or None,
        note=note or None,
        reviewer=reviewer,
        judged=None if pd.isna(label) else label,
    )
    try:
        is_new = save_review(run_id, judgement)
    except REFUSED as error:
        st.session_state[_SAID] = (False, str(error))
        return
    st.session_state[_SAID] = (True, "Saved." if is_new else "You said so already.")
    for name in ("description", "note"):
        st.session_state[f"{key}_{name}"] = ""


def _tell(said: tuple[bool, str] | None) -> None:
    """What became of the form; errors may hold what was typed, which is no markup."""
    if said is None:
        return
    is_saved, words = said
    if is_saved:
        st.success(words)
    else:
        st.error("Not saved:")
        st.text(words)
