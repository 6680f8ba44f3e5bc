"""What breaks when one feature is removed."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.ablation.feature_doses import (
    show_groups,
    show_interventions,
    show_steering,
)
from feature_atlas.dashboards.ablation.forest import EVALUATIONS, forest
from feature_atlas.dashboards.facts import intervals, number, show_facts
from feature_atlas.dashboards.palette import draw

NUMBER = st.column_config.NumberColumn


def show_what_breaks(run: pd.Series, layer: int, feature: int) -> None:
    """Its removal beside controls, other interventions, its groups, more of it."""
    key = (run.run_id, layer, feature)
    _show_ablation(*key)
    show_interventions(*key)
    show_groups(*key)
    show_steering(*key)


def _show_ablation(run_id: int, layer: int, feature: int) -> None:
    """Its removal on both sets of questions, with the controls."""
    st.subheader(
        "Removed, on both sets of questions",
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
            st.text(effect.on)
            show_facts(
                {
                    "Δ accuracy": f"{effect.delta:+.1f} pp {effect.interval}",
                    "accuracy": f"{effect.accuracy} %",
                    "broken | mended": effect.paired,
                    "McNemar p": number(effect.mcnemar_p, ".2g"),
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
        interval=intervals(removals.delta_low, removals.delta_high, "+.1f", times=100),
        paired=[f"{row.right_to_wrong} | {row.wrong_to_right}" for row in removals.itertuples()],
    )
