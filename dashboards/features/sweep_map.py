"""The adapted set at other thresholds: counts by layer, and maps of the plane (Fig. 8; A.4)."""

from math import log10

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from feature_atlas.dashboards.palette import ADAPTED, ALL, CAUSAL

PANELS = (
    ("features selected", "n_selected"),
    ("Jaccard overlap with the chosen set", "jaccard"),
    ("correlation of counts per layer", "layer_correlation"),
)
"""The maps of Fig. 8: title, column of `queries.selection_sweep`."""


def selected_bars(layers: pd.DataFrame) -> go.Figure:
    """Features of each layer: at these thresholds, and in the run's own set."""
    figure = go.Figure()
    for name, column, colour in (
        ("the run's adapted set", "n_chosen", ALL),
        ("at these thresholds", "n_selected", ADAPTED),
    ):
        figure.add_bar(
            x=layers.layer,
            y=layers[column],
            customdata=layers[["n_both", "n_features"]],
            name=name,
            marker_color=colour,
            hovertemplate="layer %{x}: %{y:,} of %{customdata[1]:,}<br>in both: %{customdata[0]:,}"
            f"<extra>{name}</extra>",
        )
    figure.update_xaxes(title_text="layer", dtick=max(1, len(layers) // 16))
    return figure.update_layout(
        yaxis_title="features",
        barmode="group",
        bargap=0.25,
        height=300,
        legend={"x": 0, "xanchor": "left"},
    )


def sweep_maps(
    sweep: pd.DataFrame, chosen: tuple[float, float], tried: tuple[float, float]
) -> go.Figure:
    """Three maps of both thresholds; circle: the run's point, cross: the tried one."""
    figure = make_subplots(
        cols=len(PANELS),
        subplot_titles=[title for title, _ in PANELS],
        shared_yaxes=True,
        horizontal_spacing=0.1,
    )
    for place, (title, column) in enumerate(PANELS, start=1):
        values = sweep.pivot(index="cosine_quantile", columns="epsilon", values=column)
        is_count = column == "n_selected"
        figure.add_heatmap(
            row=1,
            col=place,
            x=[log10(epsilon) for epsilon in values.columns],
            y=100 * values.index,
            # counts span decades; a logarithm has no place for 0
            z=values.clip(lower=1).map(log10) if is_count else values,
            text=values,
            zmin=None if is_count else 0,
            zmax=None if is_count else 1,
            colorscale="Viridis",
            colorbar=_bar(figure, place, values, is_count=is_count),
            customdata=[list(values.columns)] * len(values),
            hovertemplate="ε %{customdata:.3g}, bottom %{y:g} %<br>"
            + ("%{text:,}" if is_count else "%{text:.2f}")
            + f"<extra>{title}</extra>",
        )
        for (epsilon, quantile), symbol, colour, name in (
            (chosen, "circle-open", "white", "the run's point"),
            (tried, "x-thin", CAUSAL, "these thresholds"),
        ):
            if epsilon > 0:
                figure.add_scatter(
                    row=1,
                    col=place,
                    x=[log10(epsilon)],
                    y=[100 * quantile],
                    mode="markers",
                    name=name,
                    legendgroup=name,
                    showlegend=place == 1,
                    marker={
                        "symbol": symbol,
                        "size": 13,
                        "color": colour,
                        "line": {"width": 2.5, "color": colour},
                    },
                    hoverinfo="skip",
                )
    figure.update_xaxes(
        title_text="visual energy ε, normalised units²", tickprefix="10<sup>", ticksuffix="</sup>",
        dtick=1, showgrid=False,
    )  # fmt: skip
    figure.update_yaxes(showgrid=False)
    figure.update_yaxes(title_text="cosine cut-off, bottom % of features", row=1, col=1)
    return figure.update_layout(height=360, showlegend=False)


def _bar(
    figure: go.Figure, place: int, values: pd.DataFrame, *, is_count: bool
) -> dict[str, object]:
    right = figure.layout[f"xaxis{place if place > 1 else ''}"].domain[1]
    bar: dict[str, object] = {"x": right + 0.005, "thickness": 10, "len": 0.9}
    if is_count:
        decades = range(int(log10(max(values.to_numpy().max(), 1))) + 1)
        bar |= {"tickvals": list(decades), "ticktext": [f"{10**decade:,}" for decade in decades]}
    return bar
