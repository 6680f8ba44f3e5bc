"""Is a feature's effect that of a linear code of where named objects are? (beside 5.3)"""

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.facts import intervals
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.named_rows import named_rows
from feature_atlas.dashboards.palette import CAUSAL, FAINT, NEUTRAL, SPATIAL, draw, plain
from feature_atlas.dashboards.table_under import table_under

NUMBER, TEXT = st.column_config.NumberColumn, st.column_config.TextColumn

COLUMNS = {
    "layer": NUMBER("layer", width=56),
    "feature": NUMBER("feature", format="%d", width=72),
    "relation": TEXT("relation"),
    "code_share": NUMBER(
        "in the code", format="%.3f", help="Of the squared length of its direction."
    ),
    "feature_pp": NUMBER("Δ feature, pp", format="%+.1f"),
    "outside_pp": NUMBER("Δ outside", format="%+.1f", help="What of it is orthogonal to the code."),
    "code_pp": NUMBER("Δ code", format="%+.1f", help="The code's two directions."),
    "both_pp": NUMBER("Δ both", format="%+.1f", help="Code and feature."),
    "remaining_accuracy": NUMBER(
        "remains", format="%.2f",
        help="(Δ both − Δ code) / Δ feature: 1, the effect is not the code's; 0, it is. Empty: the "
        "feature's interval holds 0.",
    ),
    "interval": TEXT("95 %", help="Paired, bootstrap over images."),
    "remaining_margin": NUMBER("of the margin", format="%.2f"),
    "interval_margin": TEXT("95 %", width="small"),
    "shuffled_margin": NUMBER(
        "shuffled", format="%.2f", help="The same (margin) with codes of places dealt out anew."
    ),
    "n_samples": NUMBER("n", format="localized", help="Held-out statements of the relation."),
}  # fmt: skip


def show_spatial_code(run_id: int) -> None:
    """How well places are read in each layer, and what remains of features without them."""
    layers = queries.spatial_codes(run_id)
    if layers.empty:
        st.info(
            "This run has no code of places: the stage `spatial_code` makes it where "
            "`spatial_code.max_features` is above 0 and `data.instances` says where objects are."
        )
        return
    st.subheader(
        "How well an object's place is read from its name",
        help="Ridge regression on the residual of the name's last token, on test statements: "
        "fitted on half of their pictures, judged on the others. Dotted: fitted anew without the "
        "code, the two directions of the covariance of residual and place in training statements.",
    )
    draw(readout_curves(layers), "spatial_code")
    table_under(layers, "spatial_code")
    report = queries.spatial_code_report(run_id)
    if report.empty:
        return
    st.subheader(
        "What remains of a feature's effect without the code",
        help="On the logit of the right answer over the wrong. Red: feature and code removed, less "
        "the code alone, over the feature alone. Blue: what of the feature's direction is "
        "orthogonal to the code, over the whole. Grey ticks: codes of places dealt out anew.",
    )
    known = report.dropna(subset="remaining_margin")
    if known.empty:
        st.info("Of no feature the removal has an effect on the margin that is clear of 0.")
    else:
        draw(remaining_chart(known), "spatial_code_remaining")
    feature_table(_in_points(report), run_id, COLUMNS, key="spatial_code_features")


def readout_curves(layers: pd.DataFrame) -> go.Figure:
    """R squared of both coordinates over layers, with and without the code."""
    figure = go.Figure()
    for column, name, colour, dash in (
        ("r2_x", "x (across)", SPATIAL, "solid"),
        ("r2_y", "y (down)", CAUSAL, "solid"),
        ("r2_x_erased", "x, code removed", SPATIAL, "dot"),
        ("r2_y_erased", "y, code removed", CAUSAL, "dot"),
    ):
        figure.add_scatter(
            x=layers.layer, y=layers[column], mode="lines+markers", name=name,
            line={"color": colour, "width": 2, "dash": dash}, marker={"size": 7},
            customdata=layers[["n_objects_train", "n_objects_held_out"]],
            hovertemplate="layer %{x}: R² %{y:.2f}<br>code of %{customdata[0]:,} objects, "
            f"%{{customdata[1]:,}} others read<extra>{name}</extra>",
        )  # fmt: skip
    figure.add_hline(0, line={"width": 1, "color": NEUTRAL})
    figure.update_xaxes(title_text="layer", dtick=1 if len(layers) < 20 else None)
    figure.update_yaxes(title_text="R², held out", range=[-0.25, 1.05])
    return figure.update_layout(height=340)


def remaining_chart(report: pd.DataFrame) -> go.Figure:
    """A line per feature: what remains of the margin's change, both ways."""
    names = [f"L{r.layer} F{r.feature}  {plain(r.relation)}" for r in report.itertuples()]
    place = -pd.RangeIndex(len(report)).to_series(index=report.index)
    figure = go.Figure()
    figure.add_scatter(
        x=report.shuffled_margin, y=place, mode="markers", name="shuffled places",
        marker={"symbol": "line-ns", "size": 12, "line": {"width": 1.8, "color": FAINT}},
        hovertemplate="shuffled places: %{x:.2f}<extra></extra>",
    )  # fmt: skip
    for column, name, colour, shift in (
        ("remaining_margin", "after the code is removed", CAUSAL, 0.12),
        ("outside_margin", "of its part outside the code", SPATIAL, -0.12),
    ):
        figure.add_scatter(
            x=report[column], y=place + shift, mode="markers", name=name,
            error_x={
                "array": report[f"{column}_high"] - report[column],
                "arrayminus": report[column] - report[f"{column}_low"],
                "thickness": 2,
                "width": 4,
            },
            marker={"size": 9, "color": colour},
            customdata=report[[f"{column}_low", f"{column}_high", "n_samples"]],
            hovertemplate="%{x:.2f} [%{customdata[0]:.2f}, %{customdata[1]:.2f}], "
            f"%{{customdata[2]:,}} questions<extra>{name}</extra>",
        )  # fmt: skip
    figure.add_vline(1, line={"width": 1, "dash": "dot", "color": NEUTRAL})
    title = "share of the feature's effect (1: all remains, 0: it was the code's)"
    return named_rows(figure, names, title, 150 + 44 * len(names))


def _in_points(report: pd.DataFrame) -> pd.DataFrame:
    return report.assign(
        **{f"{what}_pp": 100 * report[f"delta_{what}"]
           for what in ("feature", "outside", "code", "both")},
        interval=intervals(report.remaining_accuracy_low, report.remaining_accuracy_high, ".2f"),
        interval_margin=intervals(
            report.remaining_margin_low, report.remaining_margin_high, ".2f"
        ),
    )  # fmt: skip
