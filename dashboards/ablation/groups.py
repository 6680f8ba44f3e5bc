"""Several features removed together: the more, the more is lost? (5.3) `?group=`"""

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.ablation.forest import EVALUATIONS
from feature_atlas.dashboards.facts import intervals
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.palette import CAUSAL, FAINT, NEUTRAL, draw
from feature_atlas.dashboards.table_under import table_under

NUMBER, TEXT = st.column_config.NumberColumn, st.column_config.TextColumn

WHOLE = {
    "group": TEXT("group"),
    "asked": TEXT("asked"),
    "n_features": NUMBER("features", format="localized", help="Removed together: all of them."),
    "n_samples": NUMBER("n", format="localized", help="Questions."),
    "delta": NUMBER("Δ, pp", format="%+.1f"),
    "interval": TEXT("95 %", help="Bootstrap over images."),
    "q_value": NUMBER("q", format="%.2g", help="Exact McNemar, Benjamini-Hochberg."),
    "control": NUMBER("Δ control, pp", format="%+.1f", help="Mean over matched sets of as many."),
    "n_controls": NUMBER("controls"),
    "removed_norm": NUMBER("|Δx|/|x|", format="%.2f", help="Length removed over the residual's."),
    "control_removed_norm": NUMBER("of controls", format="%.2f"),
}
MEMBERS = {
    "place": NUMBER("#", width=44, help="1: removed first, the strongest on training statements."),
    "layer": NUMBER("layer", width=56),
    "feature": NUMBER("feature", format="%d", width=72),
    "label": TEXT("description", width="large"),
}


def show_groups(run_id: int) -> None:
    """One group's dose response and members, and all groups removed whole."""
    doses = queries.dose_responses(run_id)
    if doses.empty:
        st.info(
            "No features of this run were removed together: the stage `group_ablation` takes "
            "spatial survivors of a layer or of a relation."
        )
        return
    doses = doses.assign(group=doses.kind + " " + doses.name)
    group = st.selectbox(
        "Group", doses.group.unique().tolist(), key="group", bind="query-params", width=300,
        help="All spatial survivors of a layer, or all whose top statements have a relation.",
    )  # fmt: skip
    chosen = doses[doses.group == group].iloc[0]
    st.subheader(
        "Dose response",
        help="Red: the group's strongest features, removed together. Grey: sets of as many matched "
        "features of the same layers. 95 % intervals, bootstrap over images.",
    )
    removals = queries.group_removals(run_id, chosen.kind, chosen["name"])
    draw(dose_curves(removals), "dose_response")
    table_under(removals, "dose_response")
    st.subheader("Its features, in the order of their removal")
    members = queries.group_members(run_id, chosen.kind, chosen["name"])
    feature_table(members, run_id, MEMBERS, key="members")
    st.subheader("All groups, removed whole", help="Each group at its highest dose.")
    st.dataframe(
        _whole_groups(doses), hide_index=True, column_order=list(WHOLE), column_config=WHOLE,
        placeholder="",
    )  # fmt: skip


def dose_curves(removals: pd.DataFrame) -> go.Figure:
    """A panel per set of questions: loss by number of features, group and matched sets."""
    asked = list(removals.evaluation.unique())
    figure = make_subplots(
        cols=len(asked),
        subplot_titles=[EVALUATIONS[evaluation] for evaluation in asked],
        shared_yaxes=True,
    )
    for column, evaluation in enumerate(asked, start=1):
        of_set = removals[removals.evaluation == evaluation]
        # the group last, on top of its controls
        for number, rows in sorted(of_set.groupby("control_no"), reverse=True):
            is_group = number == 0
            figure.add_scatter(
                row=1,
                col=column,
                x=rows.n_features,
                y=100 * rows.delta_accuracy,
                error_y={
                    "array": 100 * (rows.delta_high - rows.delta_accuracy),
                    "arrayminus": 100 * (rows.delta_accuracy - rows.delta_low),
                    "thickness": 2 if is_group else 1,
                    "width": 4,
                },
                mode="lines+markers",
                line={"color": CAUSAL if is_group else FAINT, "width": 2 if is_group else 1},
                marker={"size": 8 if is_group else 6},
                name="the group" if is_group else "matched sets",
                legendgroup="group" if is_group else "controls",
                showlegend=column == 1 and number <= 1,
                customdata=rows[["n_samples", "removed_norm"]],
                hovertemplate="%{x} removed: %{y:+.1f} pp<br>%{customdata[0]:,} questions, "
                "|Δx|/|x| %{customdata[1]:.2f}<extra>"
                + ("the group" if is_group else f"matched set {number}")
                + "</extra>",
            )
    figure.add_hline(0, line={"width": 1, "color": NEUTRAL})
    figure.update_xaxes(
        title_text="features removed together", tickvals=sorted(removals.n_features.unique())
    )
    figure.update_yaxes(title_text="Δ accuracy, pp (below 0: hurts)", row=1, col=1)
    figure.update_annotations(font={"size": 13})
    return figure.update_layout(height=380, legend={"y": 1.1, "x": 0, "xanchor": "left"})


def _whole_groups(doses: pd.DataFrame) -> pd.DataFrame:
    whole = doses[
        doses.n_features == doses.groupby(["group", "evaluation"]).n_features.transform("max")
    ]
    return whole.assign(
        asked=whole.evaluation.map(EVALUATIONS),
        delta=100 * whole.delta_accuracy,
        control=100 * whole.control_mean,
        interval=intervals(whole.delta_low, whole.delta_high, "+.1f", times=100),
    )
