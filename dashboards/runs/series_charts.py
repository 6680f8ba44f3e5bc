"""A series of runs, as charts: sizes of sets, when features turned, how single ones went."""

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from feature_atlas.dashboards.palette import ADAPTED, FAINT, OCR, SPATIAL, plain
from feature_atlas.dashboards.queries.two_runs import FLOORS

SETS = {
    "n_adapted": ("adapted", ADAPTED, "circle"),
    "n_turned_by_vision": ("turned by vision", "#e08a1e", "diamond"),
    "n_spatial": ("spatial survivors", SPATIAL, "square"),
    "n_ocr": ("OCR survivors", OCR, "cross"),
}
NOT_LAST = "not in the last"


def set_lines(sets: pd.DataFrame, names: list[str]) -> go.Figure:
    """How many features are in each set, run by run."""
    figure = go.Figure()
    for column, (name, colour, symbol) in SETS.items():
        figure.add_scatter(
            x=sets.place,
            y=sets[column],
            name=name,
            mode="lines+markers",
            line={"color": colour},
            marker={"symbol": symbol, "size": 9},
            hovertemplate=f"%{{y:,}} {name}<extra></extra>",
        )
    _name_runs(figure, names)
    figure.update_yaxes(title_text="features", rangemode="tozero")
    return figure.update_layout(
        height=360, hovermode="x unified", legend={"x": 0, "xanchor": "left"}
    )


def turned_bars(turned: pd.DataFrame, names: list[str]) -> go.Figure:
    """Features of each layer by the run in which they turned for good."""
    figure = go.Figure()
    shades = sample_colorscale("Viridis", max(len(names), 2), low=0.1, high=0.95)
    for place, name in enumerate(names, start=1):
        rows = turned[turned.turned_at == place]
        figure.add_bar(
            x=rows.layer, y=rows.n_features, name=f"{place}", marker_color=shades[place - 1],
            hovertemplate=f"layer %{{x}}: %{{y:,}} since {plain(name)}<extra></extra>",
        )  # fmt: skip
    lost = turned[turned.turned_at.isna()]
    figure.add_bar(
        x=lost.layer, y=lost.n_features, name=NOT_LAST, marker_color=FAINT,
        hovertemplate=f"layer %{{x}}: %{{y:,}} {NOT_LAST}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title_text="layer", dtick=max(1, turned.layer.nunique() // 16))
    figure.update_yaxes(title_text="features")
    return figure.update_layout(
        height=360, barmode="stack", legend={"x": 0, "xanchor": "left", "traceorder": "normal"}
    )


def trajectory_lines(paths: pd.DataFrame, names: list[str], metric: str) -> go.Figure:
    """A metric of a few features, run by run; filled where the feature is adapted."""
    figure = go.Figure()
    floor = FLOORS.get(metric)
    for (layer, feature), rows in paths.groupby(["layer", "feature"], sort=False):
        adapted = rows.is_adapted.astype(bool)
        figure.add_scatter(
            x=rows.place,
            y=rows.value.astype(float).clip(lower=floor),
            name=f"L{layer} F{feature}",
            mode="lines+markers",
            marker={
                "size": 9,
                "symbol": ["circle" if is_in else "circle-open" for is_in in adapted],
            },
            customdata=["adapted" if is_in else "not adapted" for is_in in adapted],
            hovertemplate=f"<b>L{layer} F{feature}</b> %{{y:.4g}}, %{{customdata}}<extra></extra>",
        )
    _name_runs(figure, names)
    figure.update_yaxes(
        title_text=metric.replace("_", " "),
        type="log" if floor else "linear",
        exponentformat="power",
    )
    return figure.update_layout(height=400, legend={"x": 0, "xanchor": "left"})


def _name_runs(figure: go.Figure, names: list[str]) -> None:
    places = list(range(1, len(names) + 1))
    figure.update_xaxes(
        tickvals=places,
        ticktext=[f"{place}<br>{plain(name)}" for place, name in zip(places, names, strict=True)],
        range=[0.7, len(names) + 0.3],
    )
