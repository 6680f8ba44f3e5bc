"""The layout of a chart with a name a row: effects with their intervals, one below the other."""

import plotly.graph_objects as go

from feature_atlas.dashboards.palette import NEUTRAL

ACCURACY = "Δ accuracy, percentage points (below 0: hurts)"


def named_rows(figure: go.Figure, names: list[str], title: str, height: int) -> go.Figure:
    """Names the rows, which are drawn at 0, -1, -2 and so on; a line at no effect."""
    figure.add_vline(0, line={"width": 1, "color": NEUTRAL})
    figure.update_yaxes(
        tickvals=[-row for row in range(len(names))], ticktext=names, showgrid=False,
        range=[-len(names) + 0.4, 0.6],
    )  # fmt: skip
    return figure.update_layout(
        xaxis_title=title, legend={"x": 0, "xanchor": "left"}, height=height
    )
