"""How strongly a feature fires, by kind of token: a line of counts per role."""

import pandas as pd
import plotly.graph_objects as go

ROLES = {"image": "#e08a1e", "question": "#2f6fb5", "suffix": "#4f9d69", "header": "#7a4fa0"}
TICK = 4
"""Every so many bins an edge is written: two bins are a doubling."""


def strength_histogram(bins: pd.DataFrame) -> go.Figure:
    """Rows of `queries.activation_bins`; steps, both axes logarithmic."""
    figure = go.Figure()
    for role, colour in ROLES.items():
        rows = bins[bins.role == role]
        if rows.empty:
            continue
        figure.add_scatter(
            x=rows.bin,
            # a logarithm has no place for 0: such a bin is a gap
            y=rows.n_tokens.where(rows.n_tokens > 0),
            mode="lines+markers",
            line={"shape": "hvh", "color": colour},
            marker={"size": 5},
            name=f"{role} tokens",
            customdata=[_between(row.low, row.high) for row in rows.itertuples()],
            hovertemplate="activation %{customdata}: %{y:,} tokens<extra>" + role + "</extra>",
        )
    edges = bins.drop_duplicates("bin").sort_values("bin")
    written = edges[edges.bin % TICK == 0]
    figure.update_xaxes(
        title_text="activation, normalised units (lower edge of the bin)",
        tickvals=written.bin.tolist(),
        ticktext=[f"{low:g}" for low in written.low],
    )
    figure.update_yaxes(type="log", title_text="tokens", dtick=1)
    return figure.update_layout(height=280, legend={"x": 0, "xanchor": "left"})


def _between(low: float, high: float) -> str:
    return f"above {low:g}" if pd.isna(high) else f"{low:g} to {high:g}"
