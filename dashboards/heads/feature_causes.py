"""What drives one feature, and what breaks when it is removed."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.ablation.forest import EVALUATIONS, forest
from feature_atlas.dashboards.facts import show_facts
from feature_atlas.dashboards.heads.head_map import PARTS, head_map, top_heads
from feature_atlas.dashboards.palette import draw

NUMBER = st.column_config.NumberColumn
N_TOP = 5
EVIDENCE = (
    "causal: swapping the head's queries and keys for real changed the feature as estimated, "
    "Benjamini-Hochberg within the feature. not confirmed: it did not. screened: not swapped."
)


def show_heads(run_id: int, layer: int, feature: int) -> None:
    """Attribution per head by both methods, and the strongest heads."""
    st.subheader(
        "Heads that drive it",
        help="Attribution patching with the picture replaced by the mean image (5.2, C): a first-"
        "order estimate, averaged over top samples. Red: the head drives the feature. Where the "
        "model is linear, A = -B.",
    )
    heads = queries.head_attributions(run_id, layer, feature)
    if heads.empty:
        st.info(
            "Not traced: the stage `head_attribution` takes survivors with the highest odds ratio; "
            "raise `head_attribution.max_features` in the configuration to have more."
        )
        return
    part = st.segmented_control(
        "Through", list(PARTS), default="score", format_func=PARTS.get, required=True, key="part"
    )
    left, right = st.columns([3, 2])
    with left:
        draw(head_map(heads, part), "head_map")
    with right:
        st.markdown(f"**Top {N_TOP} heads of each method**")
        st.dataframe(
            top_heads(heads, N_TOP),
            hide_index=True,
            column_order=[
                *("name", "rank_A", "score_A", "standard_error_A", "evidence_A"),
                *("rank_B", "score_B", "standard_error_B", "evidence_B", "in_both"),
            ],
            column_config={
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


def show_ablation(run_id: int, layer: int, feature: int) -> None:
    """Its removal on both sets of questions, with the controls."""
    st.subheader(
        "What breaks without it",
        help="The decoder direction is projected out of the text tokens; accuracy after minus "
        "before, percentage points, 95 % bootstrap over images, exact McNemar (5.3, D). Controls "
        "are random features of the same layer, matched on firing and projection.",
    )
    removals = queries.ablations(run_id, layer, feature)
    if removals.empty:
        st.info(
            "Not removed: the stage `ablation` takes spatial survivors; raise "
            "`ablation.max_features` in the configuration to have more."
        )
        return
    rows = removal_rows(removals)
    effects = rows[rows.control_no == 0]
    left, right = st.columns([3, 2], gap="large", vertical_alignment="center")
    with left:
        controls = rows[rows.control_no > 0]
        draw(forest(effects.assign(name="removed"), controls.assign(name="removed")), "forest")
    with right:
        for effect in effects.itertuples():
            st.markdown(f"**{effect.on}**")
            show_facts(
                {
                    "Δ accuracy": f"{effect.delta:+.1f} pp {effect.interval}",
                    "accuracy": f"{effect.accuracy} %",
                    "broken | mended": effect.paired,
                    "McNemar p": f"{effect.mcnemar_p:.2g}",
                }
            )
    st.dataframe(
        rows,
        hide_index=True,
        column_order=[
            *("on", "what", "n_samples", "accuracy", "delta", "interval", "paired"),
            *("mcnemar_p", "q_value", "removed_norm"),
        ],
        column_config={
            "on": st.column_config.TextColumn("asked", width="medium"),
            "what": st.column_config.TextColumn("removed"),
            "n_samples": NUMBER("questions", format="localized"),
            "accuracy": st.column_config.TextColumn("accuracy, %", help="Before → after."),
            "delta": NUMBER("Δ, pp", format="%+.2f"),
            "interval": st.column_config.TextColumn("95 %"),
            "paired": st.column_config.TextColumn(
                "broken | mended", help="Answers right before and wrong after | the reverse."
            ),
            "mcnemar_p": NUMBER("p", format="%.2g", help="Exact McNemar."),
            "q_value": NUMBER("q", format="%.2g", help="Benjamini-Hochberg over the run."),
            "removed_norm": NUMBER(
                "|Δx|/|x|", format="%.3f", help="Length removed over the residual's, mean."
            ),
        },
        placeholder="",
    )


def removal_rows(removals: pd.DataFrame) -> pd.DataFrame:
    """The table ablation in percentage points, with its counts put into words."""
    return removals.assign(
        delta=100 * removals.delta_accuracy,
        low=100 * removals.delta_low,
        high=100 * removals.delta_high,
        on=[
            f"{EVALUATIONS[row.evaluation]}{'' if pd.isna(row.relation) else f': {row.relation}'}"
            for row in removals.itertuples()
        ],
        what=[
            "this feature" if row.control_no == 0 else f"control F{int(row.control_feature)}"
            for row in removals.itertuples()
        ],
        accuracy=[
            f"{100 * row.accuracy_before:.1f} → {100 * row.accuracy_after:.1f}"
            for row in removals.itertuples()
        ],
        interval=[
            f"[{100 * row.delta_low:+.1f}, {100 * row.delta_high:+.1f}]"
            for row in removals.itertuples()
        ],
        paired=[f"{row.right_to_wrong} | {row.wrong_to_right}" for row in removals.itertuples()],
    )
