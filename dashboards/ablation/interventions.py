"""The same features removed in other ways: does the effect hang on how? (5.3, D) `?asked=`"""

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.ablation.forest import EVALUATIONS
from feature_atlas.dashboards.facts import intervals
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.named_rows import ACCURACY, named_rows
from feature_atlas.dashboards.palette import CAUSAL, FAINT, OCR, SPATIAL, draw, plain

NUMBER, TEXT = st.column_config.NumberColumn, st.column_config.TextColumn
N_IN_CHART = 20

WAYS = {
    "directional": ("direction projected out", CAUSAL),
    "mean_projection": ("its part set to the mean", "#e08a1e"),
    "feature_subtraction": ("subtracted where it fires", OCR),
    "base_direction": ("base direction projected out", SPATIAL),
}
"""Interventions of the table ablation: what is done, and colour."""

COLUMNS = {
    "layer": NUMBER("layer", width=56),
    "feature": NUMBER("feature", format="%d", width=72),
    "label": TEXT("description", width="medium"),
    "way": TEXT("removed", width="medium"),
    "relation": TEXT("relation"),
    "n_samples": NUMBER("n", format="localized", help="Questions."),
    "delta": NUMBER("Δ, pp", format="%+.1f"),
    "interval": TEXT("95 %", help="Bootstrap over images."),
    "q_value": NUMBER("q", format="%.2g", help="Exact McNemar, Benjamini-Hochberg."),
    "controls": TEXT("controls", help="Matched features, direction projected out: the range."),
    "removed_norm": NUMBER("|Δx|/|x|", format="%.3f", help="Length removed over the residual's."),
}


def show_interventions(run_id: int) -> None:
    """Every way that a feature was removed, side by side."""
    removals = queries.other_interventions(run_id)
    if removals.empty:
        st.info(
            "Features of this run were removed in one way alone: name others in "
            "`ablation.interventions` of the configuration, for the stage `ablation`."
        )
        return
    known = [name for name in EVALUATIONS if (removals.evaluation == name).any()]
    asked = st.segmented_control(
        "Asked", [EVALUATIONS[name] for name in known], default=EVALUATIONS[known[0]],
        required=True, key="asked", bind="query-params",
    )  # fmt: skip
    shown = removals[removals.evaluation.map(EVALUATIONS) == asked]
    st.subheader(
        "Effects by the way of removal",
        help="Direction projected out of text tokens (the paper's); its part along the direction "
        "set to its mean; what the feature adds taken away where it fires; the base dictionary's "
        "direction projected out. Grey ticks: lowest and highest matched control.",
    )
    draw(way_chart(shown), "ways")
    rows = shown.assign(
        way=[WAYS[name][0] for name in shown.intervention],
        delta=100 * shown.delta_accuracy,
        interval=intervals(shown.delta_low, shown.delta_high, "+.1f", times=100),
        controls=intervals(shown.control_min, shown.control_max, "+.1f", times=100),
    )
    feature_table(rows, run_id, COLUMNS, key="ways_table")


def way_chart(removals: pd.DataFrame) -> go.Figure:
    """A line per feature, a dot with its interval per way of removal."""
    names = [
        f"L{row.layer} F{row.feature}"
        + ("" if pd.isna(row.relation) else f"  {plain(row.relation)}")
        for row in removals.itertuples()
    ]
    shown = list(dict.fromkeys(names))[:N_IN_CHART]
    place = {name: -i for i, name in enumerate(shown)}
    rows = removals.assign(name=names)[[name in place for name in names]]
    figure = go.Figure()
    for column in ("control_min", "control_max"):
        controls = rows.dropna(subset=column)
        figure.add_scatter(
            x=100 * controls[column],
            y=controls.name.map(place),
            mode="markers",
            marker={"symbol": "line-ns", "size": 11, "line": {"width": 1.6, "color": FAINT}},
            name="matched controls, lowest and highest",
            showlegend=column == "control_min",
            hovertemplate="control %{x:+.1f} pp<extra></extra>",
        )
    for step, (intervention, (way, colour)) in enumerate(WAYS.items()):
        some = rows[rows.intervention == intervention]
        if some.empty:
            continue
        figure.add_scatter(
            x=100 * some.delta_accuracy,
            y=some.name.map(place) + 0.24 - 0.16 * step,
            error_x={
                "array": 100 * (some.delta_high - some.delta_accuracy),
                "arrayminus": 100 * (some.delta_accuracy - some.delta_low),
                "thickness": 1.8,
                "width": 3,
            },
            mode="markers",
            marker={"size": 8, "color": colour},
            name=way,
            customdata=some[["name", "n_samples"]],
            hovertemplate="<b>%{customdata[0]}</b><br>%{x:+.1f} pp, %{customdata[1]:,} questions"
            f"<extra>{way}</extra>",
        )
    return named_rows(figure, shown, ACCURACY, 160 + 56 * len(shown))
