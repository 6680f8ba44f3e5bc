"""Which features are about these words: full text and meaning, by deep link `?q=` (paper 5.1)."""

import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.meaning.search_meaning import meaning_of
from feature_atlas.dashboards.run_choice import choose_run
from feature_atlas.meaning.search_words import MAX_CHARACTERS, typed_words

N_ROWS = 50
"""Features shown; more words make fewer of them."""

COLUMNS = {
    "layer": st.column_config.NumberColumn("layer", width="small"),
    "feature": st.column_config.NumberColumn("feature", width="small", format="%d"),
    "label": st.column_config.TextColumn(
        "description", width="large", help="The reviewer's word, else the best description (5.1)."
    ),
    "f1": st.column_config.NumberColumn(
        "F1", format="%.2f", help="How well the description predicts firing; 1: perfect."
    ),
    "score": st.column_config.NumberColumn(
        "score",
        format="%.4f",
        help="Sum of 1 / (60 + place) over the lists that the feature is in: descriptions, "
        "questions of its strongest samples, the token it fires on most, nearness in meaning.",
    ),
    "matched": st.column_config.TextColumn("matched", help="These lists, the best place first."),
    "snippet": st.column_config.TextColumn(
        "text", width="large", help="What matched best; words that were asked for in «»."
    ),
}


def ask_for_words() -> str:
    """The words of the address, which the input shows and changes."""
    asked = typed_words(st.query_params.get("q", st.session_state.get("words", "")))
    _remember(asked)
    # the widget is set from the address and writes to it
    st.session_state["search_widget"] = asked
    st.text_input(
        "Words",
        key="search_widget",
        on_change=_follow_widget,
        max_chars=MAX_CHARACTERS,
        placeholder='left of · "to the left" · above or below · circle -red',
        help='As in a web search: all words, in any form; "a phrase"; or; -without. No word is '
        "too common: above, in and under count.",
    )
    return asked


def _follow_widget() -> None:
    _remember(typed_words(st.session_state["search_widget"]))


def _remember(words: str) -> None:
    """In the address, and for the way back from another page or run."""
    st.session_state["words"] = words
    if words:
        st.query_params["q"] = words
    else:
        st.query_params.pop("q", None)


def show_features(run_id: int, words: str) -> None:
    """What was found, and whether meaning helped."""
    meaning = meaning_of(words)
    found = queries.features_found(
        run_id, words, meaning.vector, meaning.model, revision="", n_rows=N_ROWS
    )
    if meaning.vector is None:
        st.text(f"Full text only. Search by meaning is off: {meaning.advice}.")
    else:
        for advice in queries.unembedded_labels(run_id, meaning.model, revision="").advice:
            st.text(f"Search by meaning is incomplete: {advice}.")
    if found.empty:
        st.info("No feature of this run matches. Try fewer or other words, or another run.")
        return
    plural = "" if len(found) == 1 else "s"
    limit = " (the best; more words make fewer)" if len(found) == N_ROWS else ""
    st.markdown(f"**{len(found)} feature{plural}**{limit}")
    feature_table(found, run_id, COLUMNS, key="found")


title, choice = st.columns([3, 2], vertical_alignment="bottom")
title.title("Search", help="Features by what they are said to mean, and by what they fire on.")
chosen_run = choose_run(choice)
words = ask_for_words()
if words:
    show_features(int(chosen_run.run_id), words)
else:
    st.info("Type words to find the features that are about them, for example `left of`.")
