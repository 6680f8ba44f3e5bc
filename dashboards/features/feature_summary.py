"""The first screen of a feature: what it means and how sure that is, where it fires most, and one
sentence each of what changed, what drives it and what breaks."""

from html import escape

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.facts import number, show_facts
from feature_atlas.dashboards.features.feature_story import (
    what_breaks,
    what_changed,
    what_drives,
)
from feature_atlas.dashboards.meaning.example_cards import show_cards

N_EXAMPLES = 3
_QUIET = "color:#7d848d;font-size:0.9rem"


def show_summary(record: pd.Series) -> None:
    """Label, sets, numbers, the strongest examples, the story."""
    key = (int(record.run_id), int(record.layer), int(record.feature))
    _show_label(record, queries.descriptions(*key), queries.reviews(*key))
    _show_sets(record)
    _show_numbers(record)
    strongest = queries.examples(*key, "strongest", None, N_EXAMPLES)
    if strongest.empty:
        st.caption("No stored sample made it fire.")
    else:
        show_cards(strongest, float(strongest.max_activation.max()))
    _show_story(
        {
            "Changed": what_changed(record),
            "Driven by": what_drives(queries.heads_in_short(*key)),
            "Breaks": what_breaks(queries.removal_in_short(*key)),
        }
    )


def _show_label(record: pd.Series, said: pd.DataFrame, reviews: pd.DataFrame) -> None:
    """The label large, its scores and the newest verdict small beside it."""
    label = "not described yet" if pd.isna(record.label) else str(record.label)
    if not reviews.empty and reviews.verdict.iloc[0] == "reject":
        label = "its label was rejected"
    details = [*_scores(said), *_verdict(reviews)]
    st.html(
        f'<p style="font-size:1.3rem;font-weight:600;margin:0;overflow-wrap:anywhere">'
        f'{escape(label)}</p><p style="{_QUIET};margin:0;overflow-wrap:anywhere">'
        f"{escape(' · '.join(details))}</p>"
    )


def _scores(said: pd.DataFrame) -> list[str]:
    if said.empty:
        return []
    best = said.iloc[0]
    baselines = [
        f"{name} {value:.2f}"
        for name, value in (
            ("another label's", best.shuffled_f1),
            ("without pictures", best.text_only_f1),
        )
        if pd.notna(value)
    ]
    beside = f" ({', '.join(baselines)})" if baselines else ""
    return [f"best description by {best.explainer}: F1 {number(best.f1, '.2f')}{beside}"]


def _verdict(reviews: pd.DataFrame) -> list[str]:
    if reviews.empty:
        return ["nobody has reviewed it"]
    newest = reviews.iloc[0]
    word = {"accept": "accepted", "edit": "worded", "reject": "rejected"}[newest.verdict]
    note = "" if pd.isna(newest.note) else f": {newest.note}"
    return [f"{word} by {newest.reviewer}, {newest.created_at:%d %b %Y}{note}"]


def _show_sets(record: pd.Series) -> None:
    badges = {
        "adapted": (record.is_adapted, "violet"),
        "turned by vision": (pd.notna(vision := record.is_turned_by_vision) and vision, "violet"),
        "spatial candidate": (record.is_spatial_candidate, "blue"),
        "spatial survivor": (record.survives_spatial, "blue"),
        "OCR candidate": (record.is_ocr_candidate, "violet"),
        "OCR survivor": (record.survives_ocr, "violet"),
        "ablated": (pd.notna(record.ablation_delta), "red"),
    }
    with st.container(horizontal=True):
        for name, (holds, colour) in badges.items():
            if holds:
                st.badge(name, color=colour)


def _show_numbers(record: pd.Series) -> None:
    show_facts(
        {
            "Decoder cosine": number(record.cosine, ".3f"),
            "Turned more": number(record.cosine_rank, ".1%", " of all features"),
            "Visual energy E_v": number(record.visual_energy, ".3g"),
            "Fires on": number(record.firing_rate, ".2%", " of question tokens"),
            "Spatial odds ratio": _interval(record, "spatial_odds_ratio"),
            "OCR odds ratio": _interval(record, "ocr_odds_ratio"),
            "Δ VSR when removed": _removal(record),
        }
    )


def _show_story(sentences: dict[str, str]) -> None:
    rows = "".join(
        f'<dt style="{_QUIET}">{escape(name)}</dt><dd style="margin:0">{escape(sentence)}</dd>'
        for name, sentence in sentences.items()
    )
    grid = "display:grid;grid-template-columns:max-content 1fr;gap:0.15rem 1rem;margin:0;padding:0"
    st.html(f'<dl style="{grid}">{rows}</dl>')


def _interval(record: pd.Series, name: str) -> str:
    low, high = record[f"{name}_low"], record[f"{name}_high"]
    return "–" if pd.isna(record[name]) else f"{record[name]:.2f} [{low:.2f}, {high:.2f}]"


def _removal(record: pd.Series) -> str:
    if pd.isna(record.ablation_delta):
        return "not removed"
    low, high = 100 * record.ablation_low, 100 * record.ablation_high
    return f"{100 * record.ablation_delta:+.1f} pp [{low:+.1f}, {high:+.1f}]"
