"""Which heads drive one feature."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.facts import intervals
from feature_atlas.dashboards.heads.corruption_choice import choose_corruption
from feature_atlas.dashboards.heads.feature_overlays import show_custom_prompts, show_overlays
from feature_atlas.dashboards.heads.head_map import PARTS, head_map, top_heads
from feature_atlas.dashboards.heads.head_table import OPEN, head_link
from feature_atlas.dashboards.palette import draw

NUMBER = st.column_config.NumberColumn
N_TOP = 5
EVIDENCE = (
    "causal: swapping the head's queries and keys for real changed the feature as estimated, "
    "Benjamini-Hochberg within the feature. not confirmed: it did not. screened: not swapped."
)


def show_what_drives(run: pd.Series, layer: int, feature: int) -> None:
    """Heads by estimate and for real, then where they look."""
    key = (run.run_id, layer, feature)
    corruption = choose_corruption(run.run_id)
    _show_heads(*key, corruption)
    _show_exact_effects(*key, corruption)
    _show_knockouts(*key, corruption)
    show_overlays(*key)
    show_custom_prompts(*key)


def _show_heads(run_id: int, layer: int, feature: int, corruption: str) -> None:
    """Attribution per head by both methods, and the strongest heads."""
    st.subheader(
        "Heads that drive it",
        help="Attribution patching with the picture replaced, in the paper by the mean image (5.2, "
        "C): a first-order estimate, averaged over top samples. Red: the head drives the feature. "
        "Where the model is linear, A = -B. RelP: relevance in the place of gradients; integrated: "
        "gradients along the way between both pictures; GradDrop: one layer's write left out at a "
        "time. The Heads page shows which of them foretells real swaps best.",
    )
    heads = queries.head_attributions(run_id, layer, feature, corruption)
    if heads.empty:
        st.info(
            "Not traced: the stage `head_attribution` takes survivors with the highest odds ratio; "
            "raise `head_attribution.max_features` in the configuration to have more. A picture "
            "with the opposite answer must be there for two of its top samples."
        )
        return
    part = st.segmented_control(
        "Through",
        [part for part in PARTS if heads[part].notna().any()],
        default="score",
        format_func=PARTS.get,
        required=True,
        key="part",
        bind="query-params",
    )
    left, right = st.columns([3, 2])
    with left:
        draw(head_map(heads, part), "head_map")
    with right:
        st.markdown(f"**Top {N_TOP} heads of each method**")
        strongest = top_heads(heads, N_TOP)
        links = [head_link(run_id, row.head_layer, row.head) for row in strongest.itertuples()]
        st.dataframe(
            strongest.assign(link=links),
            hide_index=True,
            column_order=[
                *("link", "name", "rank_A", "score_A", "standard_error_A", "evidence_A"),
                *("rank_B", "score_B", "standard_error_B", "evidence_B", "in_both"),
            ],
            column_config={
                "link": OPEN,
                "name": st.column_config.TextColumn("head", help="Layer and query head, 0-based."),
                "rank_A": NUMBER("A #", format="%d", width=44),
                "score_A": NUMBER("A score", format="%.3g", help="q + k, raw residual units."),
                "standard_error_A": NUMBER("± se", format="%.1g", help="Over samples."),
                "rank_B": NUMBER("B #", format="%d", width=44),
                "score_B": NUMBER("B score", format="%.3g"),
                "standard_error_B": NUMBER("± se", format="%.1g"),
                "evidence_A": st.column_config.TextColumn("A evidence", help=EVIDENCE),
                "evidence_B": st.column_config.TextColumn("B evidence", help=EVIDENCE),
                "in_both": st.column_config.CheckboxColumn(
                    "both", help=f"Among the top {N_TOP} of both methods."
                ),
            },
        )
        st.caption(f"Means over {heads.n_samples.max()} top samples.")


def _show_exact_effects(run_id: int, layer: int, feature: int, corruption: str) -> None:
    """What swapping heads for real did, beside what was estimated."""
    effects = queries.exact_effects(run_id, layer, feature, corruption)
    if effects.empty:
        return
    st.markdown("**Swapped for real**")
    st.dataframe(
        effects.assign(
            name=[f"L{row.head_layer}H{row.head}" for row in effects.itertuples()],
            interval=intervals(effects.low, effects.high, "+.3g"),
        ),
        hide_index=True,
        height=min(36 * (len(effects) + 1), 300),
        column_order=[
            *("name", "part", "method", "drive", "interval", "q_value", "is_causal"),
            *("estimate", "estimate_fix", "why", "n_samples"),
        ],
        column_config={
            "name": st.column_config.TextColumn("head"),
            "part": st.column_config.TextColumn(help="qk: queries and keys; v; z: its output."),
            "drive": NUMBER(format="%.3g", help="Raw residual units; above 0: it drives."),
            "interval": st.column_config.TextColumn("95 %"),
            "q_value": NUMBER("q", format="%.2g"),
            "is_causal": st.column_config.CheckboxColumn("cause"),
            "estimate": NUMBER("estimated", format="%.3g", help="Of the same swap."),
            "estimate_fix": NUMBER("with fix", format="%.3g", help="Softmax computed anew."),
            "why": st.column_config.TextColumn("chosen as"),
            "n_samples": NUMBER("samples"),
        },
        placeholder="",
    )


def _show_knockouts(run_id: int, layer: int, feature: int, corruption: str) -> None:
    """What the answers lose when its strongest heads are knocked out together."""
    for row in queries.head_knockouts(run_id, layer, feature, corruption).itertuples():
        control = "" if pd.isna(row.control_mean) else f"; controls {100 * row.control_mean:+.1f}"
        st.text(
            f"Knocked out together ({row.part}: {', '.join(row.heads)}): activation "
            f"{row.activation_before:.3g} → {row.activation_after:.3g} "
            f"({row.activation_corrupt:.3g} in the corrupt run), accuracy "
            f"{100 * row.delta_accuracy:+.1f} pp [{100 * row.delta_low:+.1f}, "
            f"{100 * row.delta_high:+.1f}]{control}."
        )
