"""Everything known of one feature, by deep link: `?run=&layer=&feature=`."""

from html import escape

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.ablation.feature_ablation import show_ablation
from feature_atlas.dashboards.facts import show_facts
from feature_atlas.dashboards.features.feature_choice import (
    choose_feature,
    show_neighbours,
    survivors_of,
)
from feature_atlas.dashboards.features.feature_numbers import (
    show_decoder_cosine,
    show_firing_shift,
    show_neutral_prompts,
    show_visual_energy,
)
from feature_atlas.dashboards.heads.feature_heads import show_heads
from feature_atlas.dashboards.heads.feature_overlays import show_custom_prompts, show_overlays
from feature_atlas.dashboards.meaning.feature_meaning import show_descriptions, show_examples
from feature_atlas.dashboards.run_choice import choose_run


def show_summary(record: pd.Series) -> None:
    """What it means, which sets it is in, and its main numbers."""
    label = "not described yet" if pd.isna(record.label) else str(record.label)
    st.html(f'<p style="font-size:1.25rem;margin:0">{escape(label)}</p>')
    badges = {
        "adapted": (record.is_adapted, "violet"),
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
    show_facts(
        {
            "Decoder cosine": f"{record.cosine:.3f}",
            "Turned more": f"{record.cosine_rank:.1%} of all features",
            "Visual energy E_v": f"{record.visual_energy:.3g}",
            "Fires on": f"{record.firing_rate:.2%} of question tokens",
            "Spatial odds ratio": _interval(record, "spatial_odds_ratio"),
            "OCR odds ratio": _interval(record, "ocr_odds_ratio"),
            "VSR odds ratio": f"{record.vsr_odds_ratio:.2f}",
            "Δ VSR when removed": _removal(record),
        }
    )


def _interval(record: pd.Series, name: str) -> str:
    low, high = record[f"{name}_low"], record[f"{name}_high"]
    return "–" if pd.isna(record[name]) else f"{record[name]:.2f} [{low:.2f}, {high:.2f}]"


def _removal(record: pd.Series) -> str:
    if pd.isna(record.ablation_delta):
        return "not removed"
    low, high = 100 * record.ablation_low, 100 * record.ablation_high
    return f"{100 * record.ablation_delta:+.1f} pp [{low:+.1f}, {high:+.1f}]"


title, choice = st.columns([3, 2], vertical_alignment="bottom")
run = choose_run(choice)
marked = queries.marked_features(run.run_id)
survivors = survivors_of(marked)
with st.container(horizontal=True, vertical_alignment="bottom"):
    layer, feature = choose_feature(run, survivors)
    show_neighbours(run.run_id, layer, feature, survivors)
title.title(f"Layer {layer}, feature {feature}")

key = (run.run_id, layer, feature)
found = queries.feature(*key)
if found.empty:
    st.error(
        f"Run {run.slug} has no row for layer {layer}, feature {feature}: the run was loaded "
        "incompletely. Run `feature-atlas status`."
    )
    st.stop()
show_summary(found.iloc[0])
st.divider()
show_descriptions(*key)
show_examples(*key)
st.divider()
left, right = st.columns(2, gap="large")
with left:
    show_decoder_cosine(*key)
    show_visual_energy(*key, epsilon=run.config.get("selection", {}).get("epsilon"))
with right:
    show_firing_shift(*key)
    show_neutral_prompts(*key)
st.divider()
show_heads(*key)
show_overlays(*key)
show_custom_prompts(*key)
st.divider()
show_ablation(*key)
