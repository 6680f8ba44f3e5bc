"""Which attention heads drive a feature (paper 5.2, Fig. 14 left): layer by head, methods A and B.

A head drives the feature where A is below 0 and B above 0; red means that in both maps.
"""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from feature_atlas.dashboards.palette import DIVERGING

SIGNS = {"A": -1, "B": 1}
TITLES = {"A": "Method A (below 0: drives)", "B": "Method B (above 0: drives)"}
PARTS = {
    "score": "q + k, the paper's score",
    "qk_fix": "q + k, softmax anew",
    "q": "queries",
    "k": "keys",
    "v": "values",
    "z": "head output",
}


def head_map(attributions: pd.DataFrame, part: str) -> go.Figure:
    """One heat map per method, the same colours for the same strength within a method."""
    methods = [m for m in SIGNS if (attributions.method == m).any()]
    figure = make_subplots(
        cols=len(methods),
        subplot_titles=[TITLES[m] for m in methods],
        shared_yaxes=True,
        horizontal_spacing=0.12,
    )
    for column, method in enumerate(methods, start=1):
        of_method = attributions[attributions.method == method]
        grid = of_method.pivot(index="head_layer", columns="head", values=part)
        errors = of_method.pivot(index="head_layer", columns="head", values="standard_error")
        largest = float(grid.abs().max().max()) or 1.0
        figure.add_heatmap(
            row=1,
            col=column,
            x=grid.columns,
            y=grid.index,
            z=grid,
            customdata=errors,
            zmin=-largest,
            zmax=largest,
            colorscale=DIVERGING if SIGNS[method] > 0 else _turned(DIVERGING),
            colorbar={
                "len": 0.9,
                "thickness": 10,
                "x": figure.layout[f"xaxis{column if column > 1 else ''}"].domain[1] + 0.01,
                "tickfont": {"size": 11},
                "exponentformat": "power",
            },
            xgap=1,
            ygap=1,
            hovertemplate=(
                f"<b>L%{{y}} H%{{x}}</b><br>{part} %{{z:.3g}}"
                + ("<br>± %{customdata:.2g} standard error" if part == "score" else "")
                + f"<extra>method {method}</extra>"
            ),
        )
        figure.update_xaxes(title_text="head", dtick=_tick(len(grid.columns)), row=1, col=column)
    n_layers = attributions.head_layer.nunique()
    figure.update_yaxes(dtick=_tick(n_layers), showgrid=False)
    figure.update_yaxes(title_text="layer of the head", row=1, col=1)
    figure.update_annotations(font={"size": 13}, yshift=4)
    return figure.update_layout(height=max(260, 120 + 26 * min(n_layers, 24)))


def top_heads(attributions: pd.DataFrame, n: int) -> pd.DataFrame:
    """The n strongest heads of each method by score: name, score, standard_error, rank, evidence
    per method, and whether both methods have it."""
    ranked = attributions.assign(
        strength=attributions.score * attributions.method.map(SIGNS),
        name=[
            f"L{layer}H{head}"
            for layer, head in zip(attributions.head_layer, attributions["head"], strict=True)
        ],
    )
    ranked["rank"] = ranked.groupby("method").strength.rank(ascending=False, method="first")
    wide = ranked.pivot(
        index=["name", "head_layer", "head"],
        columns="method",
        values=["score", "standard_error", "rank"],
    )
    wide.columns = [f"{value}_{method}" for value, method in wide.columns]
    evidence = ranked.pivot(
        index=["name", "head_layer", "head"], columns="method", values="evidence"
    )
    wide = wide.join(evidence.add_prefix("evidence_"))
    ranks = [column for column in wide.columns if column.startswith("rank_")]
    wide["in_both"] = (wide[ranks] <= n).all(axis=1) & (len(ranks) == 2)
    shown = wide[(wide[ranks] <= n).any(axis=1)]
    return shown.sort_values(ranks[::-1]).reset_index()


def _turned(scale: list[list[object]]) -> list[list[object]]:
    return [[place, scale[-1 - i][1]] for i, (place, _) in enumerate(scale)]


def _tick(n: int) -> int:
    return max(1, -(-n // 16))
