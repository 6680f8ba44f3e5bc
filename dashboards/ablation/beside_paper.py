"""This run's removals beside the paper's Table 2: a dot per feature, one line per number."""

import pandas as pd
import plotly.graph_objects as go

from feature_atlas.dashboards.palette import CAUSAL, FAINT, NEUTRAL

ROWS = {
    "Δ VSR, its relation": ("delta_vsr", "delta_vsr"),
    "Δ VSR, control removed": ("control_mean", "delta_control"),
    "Δ VQA yes / no": ("delta_vqa", "delta_vqa"),
}
"""Name of the line: column of this run, column of the paper; both percentage points."""


def beside_paper(points: pd.DataFrame, published: pd.DataFrame) -> go.Figure:
    """`points`: ablation_summary in percentage points. `published`: rows of one table."""
    figure = go.Figure()
    for source, features, column, colour, symbol, shift in (
        ("this run", points, 0, CAUSAL, "circle", 0.13),
        ("the paper", published, 1, FAINT, "diamond", -0.13),
    ):
        names = [f"L{x.layer} F{x.feature}" for x in features.itertuples()]
        for place, (row, columns) in enumerate(ROWS.items()):
            figure.add_scatter(
                x=features[columns[column]],
                y=[shift - place] * len(features),
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 9, "opacity": 0.65},
                name=source,
                legendgroup=source,
                showlegend=place == 0,
                text=names,
                hovertemplate=f"<b>%{{text}}</b><br>{row} %{{x:+.2f}} pp<extra>{source}</extra>",
            )
    figure.add_vline(0, line={"width": 1, "color": NEUTRAL})
    figure.update_yaxes(
        tickvals=[-place for place in range(len(ROWS))],
        ticktext=[f"{name}  " for name in ROWS],
        range=[0.5 - len(ROWS), 0.5],
        showgrid=False,
        ticks="",
        showline=False,
    )
    return figure.update_layout(
        xaxis_title="percentage points (below 0: hurts)",
        height=240,
        legend={"x": 0, "xanchor": "left"},
    )
