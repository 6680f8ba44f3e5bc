"""Samples as cards: the picture, the question's tokens shaded by activation, the answer."""

from html import escape
from typing import Any

import pandas as pd
import streamlit as st
from PIL import Image

from feature_atlas.dashboards.features.marked_text import marked_text
from feature_atlas.dashboards.heads.attention_overlay import Seen, crisp, overlay

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
                heat = _heat(sample)
                picture, *veiled, text = st.columns([2, 3] if heat is None else [2, 2, 3])
                picture.image(crisp(sample.thumbnail), width="stretch")
                for place in veiled:
                    place.image(heat, width="stretch")
                with text:
                    st.html(marked_text(sample.tokens, sample.activations, strongest))
                    st.html(_details(sample))


def _heat(sample: Any) -> Image.Image | None:
    """The picture, clear where the feature fires on it; None: not stored, or it is silent there."""
    if pd.isna(sample.patch_activation) or sample.patch_activation == 0:
        return None
    seen = Seen(
        sample.seen_left / sample.width,
        sample.seen_top / sample.height,
        sample.seen_right / sample.width,
        sample.seen_bottom / sample.height,
    )
    rows, columns = int(sample.grid_rows), int(sample.grid_columns)
    return overlay(sample.thumbnail, list(sample.patches), rows, columns, seen)


def _details(sample: Any) -> str:
    facts = {"answer": sample.answer, "relation": sample.relation}
    shown = " · ".join(
        f"{name} <b>{escape(str(fact))}</b>" for name, fact in facts.items() if pd.notna(fact)
    )
    tenth = "" if pd.isna(sample.quantile) else f" · tenth {int(sample.quantile) + 1} of 10"
    return (
        f'<div style="font-size:0.85rem;color:#7d848d">{shown}<br>'
        f"activation {sample.max_activation:.3g}{_on_picture(sample)}{tenth} · "
        f"{escape(sample.source)} {escape(sample.external_id)}</div>"
    )


def _on_picture(sample: Any) -> str:
    """Its strongest patch, where that is stored."""
    if pd.isna(sample.patch_activation):
        return ""
    strongest = sample.patch_activation
    return f", {strongest:.3g} on the picture" if strongest else ", silent on the picture"
