"""Samples as cards: the picture, the question's tokens shaded by activation, the answer."""

from html import escape
from typing import Any

import pandas as pd
import streamlit as st

from feature_atlas.dashboards.features.marked_text import marked_text
from feature_atlas.dashboards.heads.attention_overlay import crisp

PER_ROW = 3


def show_cards(samples: pd.DataFrame, strongest: float) -> None:
    """Rows of `queries.examples`, three in a row; full shade at the activation `strongest`."""
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
    tenth = "" if pd.isna(sample.quantile) else f" · tenth {int(sample.quantile) + 1} of 10"
    return (
        f'<div style="font-size:0.85rem;color:#7d848d">{shown}<br>'
        f"activation {sample.max_activation:.3g}{tenth} · {escape(sample.source)} "
        f"{escape(sample.external_id)}</div>"
    )
