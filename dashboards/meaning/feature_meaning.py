"""What one feature is: its descriptions with their scores, reviews, and what it was before."""

from typing import Any

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.lists.feature_lists import show_comments
from feature_atlas.dashboards.meaning.coherence import show_coherence
from feature_atlas.dashboards.meaning.feature_reviews import show_reviews


def show_what_it_is(run: pd.Series, layer: int, feature: int) -> None:
    """Descriptions side by side, what people say of them, and the feature that it started from."""
    key = (run.run_id, layer, feature)
    _show_descriptions(*key)
    show_coherence(*key)
    show_reviews(*key, label=queries.feature(*key).label.iloc[0])
    show_comments(*key)
    _show_base(*key)


def _show_descriptions(run_id: int, layer: int, feature: int) -> None:
    """Every description with its scores, that of the label first."""
    st.subheader(
        "Descriptions",
        help="Proposed from some top samples, scored on held-out ones (5.1, B). F1 is compared "
        "with another feature's description on the same samples; balanced accuracy 0.5 is chance. "
        "RAW: plain pictures; OVERLAY: with the attention of its heads drawn on.",
    )
    found = queries.descriptions(run_id, layer, feature)
    if found.empty:
        st.info(
            "Not described: the stage `auto_interp` takes survivors first; raise "
            "`auto_interp.max_features` in the configuration to have more."
        )
        return
    st.dataframe(
        _in_words(found),
        hide_index=True,
        column_order=[
            "description",
            "says",
            "f1",
            "shuffled_f1",
            "text_only_f1",
            "balanced_accuracy",
            "mcc",
            "confusion",
            "variant",
            "explained_by",
        ],
        column_config={
            "description": st.column_config.TextColumn(width="large"),
            "f1": st.column_config.NumberColumn("F1", format="%.2f"),
            "shuffled_f1": st.column_config.NumberColumn(
                "F1 shuffled", format="%.2f", help="Another feature's description: the null."
            ),
            "text_only_f1": st.column_config.NumberColumn(
                "F1 text only", format="%.2f", help="The same description, pictures withheld."
            ),
            "says": st.column_config.TextColumn(
                "verdict of the scores",
                help="Informative: F1 above the shuffled one with its whole 95 % interval, and "
                "more hits than yeses by lot would give.",
            ),
            "balanced_accuracy": st.column_config.NumberColumn("balanced", format="%.2f"),
            "mcc": st.column_config.NumberColumn("MCC", format="%.2f", help="0: chance."),
            "confusion": st.column_config.TextColumn(
                "matched", help="Firing samples that match | silent samples that match."
            ),
            "explained_by": st.column_config.TextColumn("explainer"),
        },
    )


def _in_words(found: pd.DataFrame) -> pd.DataFrame:
    """With who explained, what the scores say, and how the samples matched."""
    return found.assign(
        explained_by=found.explainer + " · " + found.model,
        says=[_says(row) for row in found.itertuples()],
        confusion=[
            f"{row.true_positive} of {row.n_positive} | {row.false_positive} of {row.n_negative}"
            for row in found.itertuples()
        ],
    )


def _says(row: Any) -> str:
    """What the scores of a description amount to, in words."""
    if pd.isna(row.is_informative):
        return "not measured"
    if row.grader_is_constant:
        return "grader says one thing"
    if not row.is_informative:
        return "no better than another"
    return "informative" if row.needs_picture else "informative, by its words"


def _show_base(run_id: int, layer: int, feature: int) -> None:
    """The feature before it was adapted, beside what it became."""
    st.subheader(
        "The base feature",
        help="Adapted dictionaries keep the index: this is the same feature before the model saw "
        "images. Its examples are not stored: the base dictionary was not run over these samples.",
    )
    labels = queries.base_labels(run_id, layer, feature)
    now = queries.feature(run_id, layer, feature).iloc[0]
    turns = queries.decoder_cosines(run_id, layer, feature)
    text = turns[turns.regime == "text"]
    before, after = st.columns(2, border=True)
    with before:
        st.markdown("**Before: base dictionary**")
        if labels.empty:
            st.caption(
                "No label of it was imported: `feature-atlas import neuronpedia FOLDER` takes "
                "them from an export."
            )
        for label in labels.itertuples():
            st.text(label.base_label)
            st.text(f"{label.source} · {label.model or 'model not known'}")
        _show_norm(text, "base_norm")
    with after:
        st.markdown("**After: this run**")
        st.text("no label" if pd.isna(now.label) else now.label)
        _show_norm(text, "adapted_norm")
        for turn in text.itertuples():
            st.text(
                f"cosine with its base {turn.cosine:.3f}; closest base feature "
                f"F{turn.best_base_feature} at {turn.best_base_cosine:.3f}"
            )


def _show_norm(turns: pd.DataFrame, column: str) -> None:
    for norm in turns[column]:
        st.text(f"length of its decoder row {norm:.2f}")
