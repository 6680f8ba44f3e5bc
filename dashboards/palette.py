"""The paper's colours, and one look for every chart."""

from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

ALL = "#b9bec6"
ADAPTED = "#ec9bb8"
SPATIAL = "#2f6fb5"
OCR = "#7a4fa0"
CAUSAL = "#d0333c"
INK = "#26292e"
FAINT = "#8a9099"
GRID = "#eceef1"
NEUTRAL = "#6b7178"
"""What explains: reference lines, notes."""

FEW_POINTS = 1_000

MAX_CHARACTERS = 40
"""Of a name of the data in a chart."""

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
    f'<circle cx="4" cy="11.5" r="3" fill="{ALL}"/><circle cx="11" cy="5" r="4" fill="{ADAPTED}"/>'
    f'<rect x="9" y="10" width="5" height="5" fill="{SPATIAL}"/></svg>'
)
"""The browser tab's picture, drawn here: Streamlit's named icons are fetched from the internet."""

REGIMES = {
    "text": SPATIAL,
    "image": "#e08a1e",
    "full": "#4f9d69",
    "random": FAINT,
    "refit": "#c9b458",
    "language": "#a07850",
    "instruct": "#7fb6b0",
}
CONTROLS = ("refit", "language", "instruct")
"""Regimes on text alone that the paper has not; their lines are dashed."""

SKILLS = {"spatial": SPATIAL, "ocr": OCR, "vsr": "#3a97a8"}

# colour-blind safe, light in the middle: blue below 0, red above
DIVERGING = [
    [0.0, "#2a6cb3"],
    [0.25, "#a3c4e2"],
    [0.5, "#f7f7f7"],
    [0.75, "#f0ae9f"],
    [1.0, "#b8292f"],
]

_AXIS = {
    "zeroline": False,
    "ticks": "outside",
    "ticklen": 4,
    "title": {"standoff": 8},
    # otherwise every label is measured, to hide those that would stand out
    "ticklabeloverflow": "allow",
}


def _template(ink: str, grid: str, line: str, hover: str) -> go.layout.Template:
    """The house look on a light or a dark page, whose own colour shows through."""
    axis = {**_AXIS, "gridcolor": grid, "linecolor": line, "tickcolor": line}
    return go.layout.Template(
        layout={
            "font": {"family": "Source Sans, sans-serif", "size": 13, "color": ink},
            "title": {"font": {"size": 15}, "x": 0, "xref": "paper", "xanchor": "left"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 64, "r": 16, "t": 44, "b": 48},  # room for numbers and a title
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1,
                       "xanchor": "right"},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": FAINT, "activecolor": SPATIAL},
            "hoverlabel": {"font": {"size": 12, "color": ink}, "align": "left", "bgcolor": hover,
                           "bordercolor": line},
            "colorway": [SPATIAL, CAUSAL, "#e08a1e", "#4f9d69", OCR, FAINT],
        }
    )  # fmt: skip


LIGHT = _template(ink=INK, grid=GRID, line="#cfd3d9", hover="#ffffff")
DARK = _template(ink="#e4e7eb", grid="#2b3037", line="#4a515b", hover="#22262d")


def plain(text: object) -> str:
    """Words of the data inside a chart, whose labels would take tags in them for HTML, and long
    ones would leave it no room."""
    words = str(text)
    return escape(
        words if len(words) <= MAX_CHARACTERS else f"{words[: MAX_CHARACTERS - 1]}…", quote=False
    )


def draw(figure: go.Figure, key: str, **options: Any) -> Any:
    """Show a chart in the house look; `options` go to `st.plotly_chart`."""
    figure.update_layout(template=DARK if st.context.theme.type == "dark" else LIGHT)
    _make_room_for_words(figure)
    # the bar has the picture as PNG; it stays where one chooses with its tools
    selectable = options.get("on_select", "ignore") != "ignore"
    config = {
        "displayModeBar": selectable or "hover",
        "displaylogo": False,
        "toImageButtonOptions": {"filename": key, "scale": 2},
    }
    return st.plotly_chart(figure, key=key, theme=None, config=config, **options)


def _make_room_for_words(figure: go.Figure) -> None:
    """Where ticks are words the browser measures them, and then draws the chart a second time."""
    for name, for_each in (("x", figure.for_each_xaxis), ("y", figure.for_each_yaxis)):
        values = (getattr(trace, name, None) for trace in figure.data)
        has_words = any(v is not None and len(v) and isinstance(v[0], str) for v in values)
        for_each(lambda a, has=has_words: a.update(automargin=has or a.ticktext is not None))


def cloud_trace(n_points: int) -> type[go.Scatter] | type[go.Scattergl]:
    """What draws a cloud of markers: where they are few, plain SVG is there sooner than WebGL."""
    return go.Scatter if n_points <= FEW_POINTS else go.Scattergl


def crowd_opacity(n_features: pd.Series) -> pd.Series:
    """Of bins by how many are in each: a lone feature is still seen, a crowd is solid."""
    return 0.25 + 0.75 * (n_features.pow(0.25) / n_features.max() ** 0.25 if len(n_features) else 0)
