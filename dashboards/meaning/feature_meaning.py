"""What one feature means: its descriptions with their scores, and the samples it fires on most."""

from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.features.marked_text import marked_text
from feature_atlas.dashboards.heads.attention_overlay import crisp
from feature_atlas.dashboards.meaning.feature_reviews import show_reviews

SOURCES = {"vqav2": "Questions (VQAv2)", "vsr": "Statements (VSR)"}
N_RANKS = 6
PER_ROW = 3


def show_descriptions(run_id: int, layer: int, feature: int) -> None:
    """Every description with its scores; a reviewer's verdict first."""
    st.subheader(
        "Description",
        help="Proposed from some top samples, scored on held-out ones (5.1, B). F1 is compared "
        "with another feature's description on the same samples; balanced accuracy 0.5 is chance. "
        "RAW: plain pictures; OVERLAY: with the attention of its heads drawn on.",
    )
    found = queries.descriptions(run_id, layer, feature)
    show_reviews(run_id, layer, feature)
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


def show_examples(run_id: int, layer: int, feature: int) -> None:
    """Its strongest samples with pictures and shaded tokens, a tab per data set."""
    st.subheader(
        "Top samples",
        help="The samples on which it fires most, tokens shaded by activation (5.1, Fig. 3). "
        "Full shade is the feature's strongest token on this page.",
    )
    samples = queries.examples(run_id, layer, feature, N_RANKS)
    if samples.empty:
        st.info(
            "No sample made it fire, or the stage `example` of `feature-atlas build` is missing."
        )
        return
    strongest = float(samples.max_activation.max())
    tabs = st.tabs([SOURCES.get(source, source) for source in samples.source.unique()])
    for tab, (_, rows) in zip(tabs, samples.groupby("source", sort=False), strict=True):
        with tab:
            _show_samples(rows, strongest)


def _show_samples(samples: pd.DataFrame, strongest: float) -> None:
    for begin in range(0, len(samples), PER_ROW):
        columns = st.columns(PER_ROW, border=True)
        # itertuples and zip: the last row may be shorter than the page is wide
        for column, sample in zip(
            columns, samples.iloc[begin : begin + PER_ROW].itertuples(), strict=False
        ):
            with column:
                picture, text = st.columns([2, 3])
                picture.image(crisp(sample.thumbnail), width="stretch")
                with text:
                    st.html(marked_text(sample.tokens, sample.activations, strongest))
                    st.html(_details(sample))


def _details(sample: Any) -> str:
    facts = {"answer": sample.answer, "relation": sample.relation}
    shown = " · ".join(
        f"{name} <b>{escape(str(fact))}</b>" for name, fact in facts.items() if pd.notna(fact)
    )
    return (
        f'<div style="font-size:0.85rem;color:#6b7178">{shown}<br>'
        f"activation {sample.max_activation:.3g} · sample {escape(sample.external_id)}</div>"
    )
