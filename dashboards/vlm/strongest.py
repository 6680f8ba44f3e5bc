"""The strongest features of a prompt and of one of its tokens, as tables with links."""

from typing import Any

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.addressed import remember
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.vlm.model_answer import Answer

COLUMNS: dict[str, Any] = {
    "layer": st.column_config.NumberColumn("layer", width=56),
    "feature": st.column_config.NumberColumn("feature", width=72, format="%d"),
    "where": st.column_config.TextColumn("strongest on", width=150, help="The word, or the patch."),
    "activation": st.column_config.NumberColumn(
        "activation",
        width=80,
        format="%.3g",
        help="Where it is strongest, normalised units: comparable across layers.",
    ),
    "times_usual": st.column_config.NumberColumn(
        "× usual",
        width=64,
        format="%.2f",
        help="There, over the root mean square of its activations in the run on tokens of the same "
        "kind (picture or text) on which it fires. Empty: it never did.",
    ),
    "label": st.column_config.TextColumn(
        "description", width="medium", help="The reviewer's word, else the best description (5.1)."
    ),
    "n_patches": st.column_config.NumberColumn("patches", width=64, help="On which it fires."),
    "n_words": st.column_config.NumberColumn(
        "words", width=60, help="Text tokens on which it fires."
    ),
}
_SELECTED = "selected_on_prompt"
ON_A_TOKEN = ("layer", "feature", "activation", "times_usual", "label")


def strongest_features(answer: Answer, run_id: int, order: str) -> pd.DataFrame:
    """A row for each feature of the answer, with the token on which it is strongest."""
    is_image = answer.tokens.role == "image"
    rows = []
    for one in answer.features.itertuples():
        known = pd.DataFrame(
            {"activation": one.activations, "times_usual": one.times_usual}, dtype=float
        )
        peak = None if known[order].isna().all() else int(known[order].idxmax())
        on_picture = int(is_image.iloc[one.tokens].sum())
        rows.append(
            {
                "layer": one.layer,
                "feature": one.feature,
                "activation": 0.0 if peak is None else known.activation[peak],
                "times_usual": None if peak is None else known.times_usual[peak],
                "where": "silent" if peak is None else token_in_words(answer, one.tokens[peak]),
                "n_patches": on_picture,
                "n_words": len(one.tokens) - on_picture,
            }
        )
    return _labelled(pd.DataFrame(rows, columns=[n for n in COLUMNS if n != "label"]), run_id)


def strongest_on(answer: Answer, run_id: int, token: int) -> pd.DataFrame:
    """The strongest features of one token."""
    return _labelled(answer.strongest[answer.strongest.token == token], run_id)


def _labelled(features: pd.DataFrame, run_id: int) -> pd.DataFrame:
    labels = queries.labels_of(
        run_id, list(map(int, features.layer)), list(map(int, features.feature))
    )
    if labels.empty:
        return features.assign(label=None).reset_index(drop=True)
    return features.merge(labels, how="left", on=["layer", "feature"])


def token_in_words(answer: Answer, token: int) -> str:
    """A word of the prompt, or a patch by the row and column where its middle lies."""
    one = answer.tokens.iloc[token]
    if one.role != "image":
        return str(one.text).strip() or "space"
    if one.box is None:
        return f"image token {token}"
    left, top, right, bottom = (round(edge) for edge in one.box)
    return f"patch {left}–{right}, {top}–{bottom}"


def name_of(layer: int, feature: int) -> str:
    """As the address says it."""
    return f"{layer}/{feature}"


def show_strongest(features: pd.DataFrame, run_id: int) -> None:
    """All of them; a row that is selected shows that feature on the prompt."""
    chosen = feature_table(features, run_id, COLUMNS, key="strongest", height=470)
    if chosen.empty:
        return
    name = name_of(chosen.layer.iloc[-1], chosen.feature.iloc[-1])
    if st.session_state.get(_SELECTED) != name:  # else the box above could choose no other
        st.session_state[_SELECTED] = name
        remember("feature", name)
        st.rerun()


def show_token(answer: Answer, run_id: int, token: int) -> None:
    """What fires on one token."""
    columns = {name: COLUMNS[name] for name in ON_A_TOKEN}
    feature_table(strongest_on(answer, run_id, token), run_id, columns, key="on_token")
