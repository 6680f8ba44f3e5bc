"""The removed features on What'sUp and GQA, where the run has them (5.3)."""

import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.ablation.forest import EVALUATIONS
from feature_atlas.dashboards.facts import intervals
from feature_atlas.dashboards.features.feature_table import feature_table

NUMBER, TEXT = st.column_config.NumberColumn, st.column_config.TextColumn

COLUMNS = {
    "layer": NUMBER("layer", width=56),
    "feature": NUMBER("feature", format="%d", width=72),
    "relation": TEXT("VSR relation"),
    "asked": TEXT("asked"),
    "n_samples": NUMBER("n", format="localized", help="Questions."),
    "before": NUMBER("right, %", format="%.1f", help="Untouched."),
    "delta": NUMBER("Δ, pp", format="%+.1f"),
    "interval": TEXT("95 %", help="Bootstrap over images."),
    "q_value": NUMBER("q", format="%.2g", help="Exact McNemar, Benjamini-Hochberg."),
    "vsr": NUMBER("Δ VSR, pp", format="%+.1f", help="On statements of its relation."),
    "description": TEXT("description", width="medium"),
}


def show_benches(run_id: int) -> None:
    """Each removal on each other bench; nothing where the run has none."""
    removals = queries.bench_removals(run_id)
    if removals.empty:
        return
    st.subheader(
        "On other benches",
        help="What'sUp: a statement and its opposite about each picture, which words alone cannot "
        "tell apart. GQA: its spatial questions that are answered yes or no. Of all relations.",
    )
    points = removals.assign(
        asked=removals.evaluation.map(EVALUATIONS),
        before=100 * removals.accuracy_before,
        delta=100 * removals.delta_accuracy,
        vsr=100 * removals.delta_vsr,
        interval=intervals(removals.delta_low, removals.delta_high, "+.1f", times=100),
    )
    feature_table(points, run_id, COLUMNS, key="benches")
