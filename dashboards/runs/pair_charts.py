"""Two runs beside one another, as charts."""

from math import exp, log, log10
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from feature_atlas.dashboards.palette import (
    ADAPTED,
    ALL,
    CAUSAL,
    FAINT,
    SPATIAL,
    cloud_trace,
    crowd_opacity,
    plain,
)
from feature_atlas.dashboards.queries.two_runs import FLOORS

BEFORE, AFTER = ALL, SPATIAL
_START = 0.5


def funnels(before: pd.DataFrame, after: pd.DataFrame, skill: str) -> go.Figure:
    """Features that remain after each step, in both runs, on a logarithmic axis."""
    figure = go.Figure()
    for name, steps, colour in (("before", before, BEFORE), ("after", after, AFTER)):
        rows = steps[steps.skill == skill]
        figure.add_bar(
            # on a logarithm nothing starts at 0: bars start at a half, so that 1 is seen
            base=_START,
            x=(rows.n_features - _START).clip(lower=0),
            y=rows.step,
            orientation="h",
            name=name,
            marker_color=colour,
            text=[f"{n:,}" for n in rows.n_features],
            textposition="outside",
            cliponaxis=False,
            hovertemplate=f"%{{y}}: %{{text}}<extra>{name}</extra>",
        )
    decades = log10(max(before.n_features.max(), after.n_features.max(), 10) / _START)
    figure.update_xaxes(
        type="log", range=[log10(_START), log10(_START) + 1.25 * decades], showgrid=False,
        showticklabels=False, ticks="", showline=False,
    )  # fmt: skip
    figure.update_yaxes(
        autorange="reversed", showgrid=False, ticks="", showline=False, ticksuffix="  "
    )
    return figure.update_layout(title=f"{plain(skill)}", height=260, bargap=0.25, margin={"b": 10})


def drift_bars(kinds: pd.DataFrame) -> go.Figure:
    """How many features changed, by kind."""
    figure = go.Figure(
        go.Bar(
            base=_START,
            x=(kinds.n_features - _START).clip(lower=0),
            y=[kind.replace("_", " ") for kind in kinds.kind],
            orientation="h",
            marker_color=SPATIAL,
            text=[f"{n:,}" for n in kinds.n_features],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{text} features<extra></extra>",
        )
    )
    decades = log10(max(kinds.n_features.max(), 10) / _START)
    figure.update_xaxes(
        type="log", range=[log10(_START), log10(_START) + 1.25 * decades], showgrid=False,
        showticklabels=False, ticks="", showline=False,
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="", showline=False)
    return figure.update_layout(height=90 + 26 * len(kinds), bargap=0.3, margin={"b": 10})


def old_against_new(cloud: pd.DataFrame, metric: str) -> go.Figure:
    """Every feature, or bins of them (with n_features), by a metric before and after."""
    is_binned, floor = "n_features" in cloud, FLOORS.get(metric)
    is_adapted = cloud.is_adapted.astype(bool)
    figure = go.Figure()
    for name, rows, colour in (
        ("all features", cloud[~is_adapted], ALL),
        ("adapted in either run", cloud[is_adapted], ADAPTED),
    ):
        trace = cloud_trace(len(rows))(
            x=rows.before.clip(lower=floor),
            y=rows.after.clip(lower=floor),
            customdata=rows[["n_features"]] if is_binned else rows[["layer", "feature"]],
            name=name,
            mode="markers",
            marker={
                "color": colour,
                "symbol": "square" if is_binned else "circle",
                "size": 5,
                "opacity": crowd_opacity(rows.n_features) if is_binned else 0.8,
            },
            hovertemplate=(
                "%{customdata[0]:,} features around"
                if is_binned
                else "<b>L%{customdata[0]} F%{customdata[1]}</b>"
            )
            + "<br>before %{x:.3g}<br>after %{y:.3g}<extra></extra>",
        )
        figure.add_trace(trace)
    _add_diagonal(figure, cloud, floor)
    words = metric.replace("_", " ")
    kind: dict[str, Any] = {"type": "log", "exponentformat": "power"} if floor else {}
    figure.update_xaxes(title_text=f"{words}, before", **kind)
    figure.update_yaxes(title_text=f"{words}, after", **kind)
    return figure.update_layout(
        height=480,
        dragmode="pan",  # with "select" Streamlit takes no clicks on points
        legend={"x": 0, "xanchor": "left", "itemsizing": "constant"},
    )


def chosen_ranges(
    selection: Any, cloud: pd.DataFrame, metric: str
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The metric's ends before and after of what was clicked or drawn; None: nothing was."""
    if selection.get("box"):
        sides = [list(selection["box"][0][axis]) for axis in ("x", "y")]
    elif selection.get("points"):
        sides = [[point[axis] for point in selection["points"]] for axis in ("x", "y")]
        sides = [_around(side, cloud, metric) for side in sides]
    else:
        return None
    old, new = (_slack(min(side), max(side), metric) for side in sides)
    return old, new


def camp_matrix(moves: pd.DataFrame, camps: list[str]) -> go.Figure:
    """From camp to camp: counts, those who stayed in grey."""
    stayed = moves.camp_before == moves.camp_after
    figure = go.Figure(
        go.Scatter(
            x=moves.camp_after,
            y=moves.camp_before,
            mode="markers+text",
            text=[f"{n:,}" for n in moves.n_features],
            customdata=moves[["camp_before", "camp_after"]],
            marker={
                "symbol": "square",
                "size": 46,
                "color": [ALL if same else CAUSAL for same in stayed],
                "opacity": 0.3,
            },
            textfont={"size": 13},
            hovertemplate="%{customdata[0]} → %{customdata[1]}: %{text} features<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="after", categoryorder="array", categoryarray=camps,
                        range=[-0.5, len(camps) - 0.5])  # fmt: skip
    figure.update_yaxes(title_text="before", categoryorder="array", categoryarray=camps[::-1],
                        range=[-0.5, len(camps) - 0.5])  # fmt: skip
    return figure.update_layout(height=100 + 64 * len(camps), showlegend=False, dragmode="pan")


def _add_diagonal(figure: go.Figure, cloud: pd.DataFrame, floor: float | None) -> None:
    """Where nothing changed."""
    if cloud.empty:
        return
    values = pd.concat([cloud.before, cloud.after]).clip(lower=floor)
    ends = [float(values.min()), float(values.max())]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", name="unchanged", hoverinfo="skip",
        line={"color": FAINT, "width": 1, "dash": "dot"},
    )  # fmt: skip


def _around(values: list[float], cloud: pd.DataFrame, metric: str) -> list[float]:
    """The values and, where they are bins, half a bin to either side."""
    if "n_features" not in cloud:
        return values
    scale, back = (log, exp) if metric in FLOORS else (float, float)
    places = pd.Series(sorted({*cloud.before.map(scale), *cloud.after.map(scale)}))
    steps = places.diff()
    half = steps[steps > 1e-9].min() / 2
    half = 0.0 if pd.isna(half) else half
    return [back(scale(value) + side * half) for value in values for side in (-1, 1)]


def _slack(low: float, high: float, metric: str) -> tuple[float, float]:
    """A little more, since float32 is in the database; all below the floor are drawn on it."""
    slack = 1e-6 * max(abs(low), abs(high), 1e-6)
    at_floor = metric in FLOORS and low <= FLOORS[metric] * (1 + 1e-6)
    return (0.0 if at_floor else low - slack), high + slack
