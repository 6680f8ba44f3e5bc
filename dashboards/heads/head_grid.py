"""Heat maps of heads, layer by head, one per method of attribution."""

from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

Scale = str | list[list[object]]


def head_grids(
    rows: pd.DataFrame,
    value: str,
    titles: Mapping[str, str],
    scales: Mapping[str, Scale],
    hover: str,
    beside: Sequence[str] = (),
) -> go.Figure:
    """`rows`: method, head_layer, head, `value`, and columns `beside` for `hover` (customdata).

    Within a method the same strength has the same colour; scales that are lists diverge from 0.
    """
    methods = [method for method in titles if (rows.method == method).any()]
    figure = make_subplots(
        cols=max(len(methods), 1),
        subplot_titles=[titles[method] for method in methods],
        shared_yaxes=True,
        horizontal_spacing=0.12,
    )
    for column, method in enumerate(methods, start=1):
        of_method = rows[rows.method == method]
        grid = of_method.pivot(index="head_layer", columns="head", values=value).astype(float)
        more = [of_method.pivot(index="head_layer", columns="head", values=b) for b in beside]
        largest = float(grid.abs().max().max()) or 1.0
        figure.add_heatmap(
            row=1,
            col=column,
            x=grid.columns,
            y=grid.index,
            z=grid,
            customdata=[list(zip(*(m.loc[y] for m in more), strict=True)) for y in grid.index]
            if more
            else None,
            zmin=-largest if isinstance(scales[method], list) else 0,
            zmax=largest,
            colorscale=scales[method],
            colorbar={
                "len": 0.9,
                "thickness": 10,
                "x": figure.layout[f"xaxis{column if column > 1 else ''}"].domain[1] + 0.01,
                "tickfont": {"size": 11},
                "exponentformat": "power",
            },
            xgap=1,
            ygap=1,
            hovertemplate=f"<b>L%{{y}} H%{{x}}</b><br>{hover}<extra>method {method}</extra>",
        )
        figure.update_xaxes(title_text="head", dtick=_tick(len(grid.columns)), row=1, col=column)
    n_layers = rows.head_layer.nunique()
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(dtick=_tick(n_layers), showgrid=False)
    figure.update_yaxes(title_text="layer of the head", row=1, col=1)
    figure.update_annotations(font={"size": 13}, yshift=4)
    return figure.update_layout(height=max(260, 120 + 26 * min(n_layers, 24)))


def _tick(n: int) -> int:
    return max(1, -(-n // 16))
