"""A feature's direction added: the mirror of its removal? (5.3) `?steered=`"""

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.ablation.forest import COLOURS, EVALUATIONS
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.palette import NEUTRAL, OCR, draw
from feature_atlas.dashboards.table_under import table_under

NUMBER, TEXT = st.column_config.NumberColumn, st.column_config.TextColumn

COLUMNS = {
    "layer": NUMBER("layer", width=56),
    "feature": NUMBER("feature", format="%d", width=72),
    "label": TEXT("description", width="medium"),
    "asked": TEXT("asked", width="medium"),
    "relation": TEXT("relation"),
    "strengths": TEXT("strengths", help="In the feature's mean activation where it fires."),
    "yes_margin_slope": NUMBER("slope", format="%+.2f", help="Logit of yes over no, per strength."),
    "yes_margin_delta_removed": NUMBER("removed", format="%+.2f", help="The same, by its removal."),
    "is_mirror": st.column_config.CheckboxColumn(
        "mirror", help="What removing lowers on the whole, adding raises, or the reverse."
    ),
    "mirror_correlation": NUMBER(
        "over questions", format="%+.2f",
        help="Correlation of the changes by adding and by removing; below 0: the same questions "
        "move, the other way; about 0: others.",
    ),
    "worst": NUMBER("worst Δ, pp", format="%+.1f", help="Largest loss of accuracy."),
}  # fmt: skip


def show_steering(run_id: int) -> None:
    """One steered feature, and all of them."""
    summaries = queries.steering_summaries(run_id)
    if summaries.empty:
        st.info("No feature of this run was added: the stage `steering` takes removed features.")
        return
    summaries = summaries.assign(
        name=[f"L{row.layer} F{row.feature}" for row in summaries.itertuples()],
        asked=summaries.evaluation.map(EVALUATIONS),
        strengths=[f"{row.min_alpha:g} to {row.max_alpha:g}" for row in summaries.itertuples()],
        worst=100 * summaries.worst_delta_accuracy,
    )
    name = st.selectbox(
        "Feature", summaries.name.unique().tolist(), key="steered", bind="query-params", width=220
    )
    chosen = summaries[summaries.name == name].iloc[0]
    if pd.notna(chosen.label):
        st.text(chosen.label)
    st.subheader(
        "As its direction is added",
        help="Added at every text token, in units of the feature's mean activation where it fires; "
        "below 0: subtracted. Dotted: what its directional removal does to the same questions, the "
        "mirror. 95 % intervals, bootstrap over images.",
    )
    strengths = queries.steerings(run_id, int(chosen.layer), int(chosen.feature))
    draw(steering_curves(strengths), "steering")
    table_under(strengths, "steering")
    st.subheader("All steered features", help="Click a head to sort.")
    feature_table(summaries, run_id, COLUMNS, key="steered_features")


def steering_curves(strengths: pd.DataFrame) -> go.Figure:
    """By strength: margin of yes, of the right answer, and accuracy."""
    titles = ("logit of yes over no", "logit of right over wrong", "accuracy")
    figure = make_subplots(cols=3, subplot_titles=titles, horizontal_spacing=0.08)
    for name, rows in strengths.groupby("evaluation", sort=False):
        colour = COLOURS.get(str(name), OCR)
        for column, (value, low, high, factor) in enumerate(
            (
                ("yes_margin_delta", None, None, 1),
                ("margin_delta", "margin_low", "margin_high", 1),
                ("delta_accuracy", "delta_low", "delta_high", 100),
            ),
            start=1,
        ):
            y = factor * rows[value]
            known = low is not None and rows[low].notna().any()
            figure.add_scatter(
                row=1,
                col=column,
                x=rows.alpha,
                y=y,
                error_y={
                    "array": factor * rows[high] - y,
                    "arrayminus": y - factor * rows[low],
                    "thickness": 1.6,
                    "width": 4,
                }
                if known
                else None,
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker={"size": 8},
                name=EVALUATIONS[str(name)],
                legendgroup=str(name),
                showlegend=column == 1,
                customdata=rows[["n_samples", "yes_rate_after"]],
                hovertemplate="strength %{x:g}: %{y:+.2f}<br>%{customdata[0]:,} questions, says yes"
                f" to %{{customdata[1]:.0%}}<extra>{EVALUATIONS[str(name)]}</extra>",
            )
        figure.add_hline(
            float(rows.yes_margin_delta_removed.iloc[0]), row=1, col=1,
            line={"width": 1.4, "dash": "dot", "color": colour},
        )  # fmt: skip
    figure.add_hline(0, line={"width": 1, "color": NEUTRAL})
    figure.update_xaxes(title_text="strength")
    figure.update_yaxes(title_text="Δ, after minus before", row=1, col=1)
    figure.update_yaxes(title_text="Δ, pp", row=1, col=3)
    figure.update_annotations(font={"size": 13})
    return figure.update_layout(height=380, legend={"y": 1.1, "x": 0, "xanchor": "left"})
