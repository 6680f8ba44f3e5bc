"""The paper's Fig. 2: every feature by how far it turned and how much it sees."""

from math import exp, log, log10
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from feature_atlas.dashboards.palette import (
    ADAPTED,
    ALL,
    CAUSAL,
    OCR,
    SPATIAL,
    cloud_trace,
    crowd_opacity,
)

N_BINS = 100
"""Bins per axis of a cloud that is too large to send point by point."""

MAX_POINTS = 20_000
"""Points that a browser still draws at once; larger clouds are binned by the database."""


def energy_floor(energy: pd.Series) -> float:
    """Where features that never fire are drawn: a logarithm has no place for 0."""
    positive = energy[energy > 0]
    return float(positive.min()) / 4 if len(positive) else 1e-6


def scatter(cloud: pd.DataFrame, marked: pd.DataFrame, epsilon: float | None) -> go.Figure:
    """`cloud`: all features or bins of them (with n_features). `marked`: those shown singly."""
    floor = energy_floor(pd.concat([cloud.visual_energy, marked.visual_energy]))
    is_adapted = cloud.is_adapted.astype(bool)
    figure = go.Figure()
    for name, rows, colour in (
        ("all features", cloud[~is_adapted], ALL),
        ("adapted", cloud[is_adapted], ADAPTED),
    ):
        figure.add_trace(_cloud(name, rows, colour, floor))
    is_survivor = marked.survives_spatial.astype(bool)
    candidates = marked[marked.is_spatial_candidate.astype(bool) & ~is_survivor]
    survivors = marked[is_survivor]
    ocr = marked[marked.survives_ocr.astype(bool)]
    causal = marked[marked.ablation_delta.notna() | marked.label.notna()]
    hollow = {"symbol": "square-open", "size": 9, "color": SPATIAL, "line": {"width": 1.4}}
    filled = {
        "symbol": "square",
        "size": 10,
        "color": "rgba(47,111,181,0.35)",
        "line": {"width": 1.4, "color": SPATIAL},
    }
    diamond = {"symbol": "diamond-open", "size": 9, "color": OCR, "line": {"width": 1.4}}
    cross = {"symbol": "x-thin", "size": 9, "line": {"width": 2.2, "color": CAUSAL}}
    for name, rows, marker in (
        ("spatial candidate", candidates, hollow),
        ("survives neutral prompts", survivors, filled),
        ("OCR survivor", ocr, diamond),
        ("described or ablated", causal, cross),
    ):
        if len(rows):
            figure.add_trace(_marks(name, rows, marker, floor))
    if epsilon:
        figure.add_hline(epsilon, line={"dash": "dot", "width": 1, "color": "#9aa0a8"})
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", y=log10(epsilon), yanchor="bottom",
            text=f"ε = {epsilon:g}", showarrow=False, font={"size": 11, "color": "#6b7178"},
        )  # fmt: skip
    figure.update_layout(
        xaxis_title="decoder cosine, base to adapted  (1: kept its direction, 0: a new one)",
        yaxis_title="visual energy E_v, normalised units²",
        legend={"x": 0, "xanchor": "left", "itemsizing": "constant"},
        dragmode="pan",  # with "select" Streamlit takes no clicks on points
        margin={"t": 80},  # the tool bar stands above the legend
        height=590,
    )
    figure.update_yaxes(type="log", exponentformat="power", dtick=1)
    return figure


def half_bin(cloud: pd.DataFrame) -> tuple[float, float]:
    """Half the size of a bin: added to the cosine, multiplied to the energy; points have none."""
    if "n_features" not in cloud:
        return 0.0, 1.0
    energies = cloud.visual_energy[cloud.visual_energy > 0].map(log)
    width, height = (
        values.drop_duplicates().sort_values().diff().min() for values in (cloud.cosine, energies)
    )
    return (
        0.0 if pd.isna(width) else width / 2,
        1.0 if pd.isna(height) else exp(height / 2),
    )


def chosen_box(
    selection: Any, floor: float, half: tuple[float, float] = (0.0, 1.0)
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The box drawn on the chart, or the smallest around the clicked points; None: none.

    `half`: of a bin; a clicked bin stands for all of it. A box that reaches the lowest line takes
    in the features of energy 0 drawn there.
    """
    if selection.get("box"):
        xs, ys = selection["box"][0]["x"], selection["box"][0]["y"]
    elif selection.get("points"):
        xs, ys = [], []
        for point in selection["points"]:
            is_bin = len(point.get("customdata", ())) == 1
            width, factor = half if is_bin else (0.0, 1.0)
            xs += [point["x"] - width, point["x"] + width]
            ys += [point["y"] / factor, point["y"] * factor]
    else:
        return None
    # float32 in the database, float64 here
    slack = 1e-6
    low = min(ys) * (1 - slack)
    energies = (0.0 if low <= floor else low, max(ys) * (1 + slack))
    return (min(xs) - slack, max(xs) + slack), energies


def _cloud(name: str, rows: pd.DataFrame, colour: str, floor: float) -> go.Scatter | go.Scattergl:
    is_binned = "n_features" in rows
    hover = "cosine %{x:.3f}<br>E_v %{y:.3g}"
    return cloud_trace(len(rows))(
        x=rows.cosine,
        y=rows.visual_energy.clip(lower=floor),
        customdata=rows[["n_features"]] if is_binned else rows[["layer", "feature"]],
        name=name,
        mode="markers",
        marker={
            "color": colour,
            "symbol": "square" if is_binned else "circle",
            "size": 5 if is_binned else 4,
            "opacity": crowd_opacity(rows.n_features) if is_binned else 0.75,
        },
        hovertemplate=(
            "%{customdata[0]:,} features around<br>" + hover + "<extra></extra>"
            if is_binned
            else "<b>L%{customdata[0]} F%{customdata[1]}</b><br>" + hover + "<extra></extra>"
        ),
    )


def _marks(name: str, rows: pd.DataFrame, marker: dict[str, Any], floor: float) -> go.Scatter:
    return go.Scatter(
        x=rows.cosine,
        y=rows.visual_energy.clip(lower=floor),
        customdata=rows[["layer", "feature", "spatial_odds_ratio"]],
        name=f"{name} ({len(rows)})",
        mode="markers",
        marker=marker,
        hovertemplate=(
            "<b>L%{customdata[0]} F%{customdata[1]}</b><br>cosine %{x:.3f}<br>E_v %{y:.3g}"
            "<br>spatial odds ratio %{customdata[2]:.2f}<extra></extra>"
        ),
    )
