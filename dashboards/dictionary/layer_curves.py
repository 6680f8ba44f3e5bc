"""Depth and training: how many features adapt in each layer, how far they turn, how fast."""

import pandas as pd
import plotly.graph_objects as go

from feature_atlas.dashboards.palette import ADAPTED, FAINT, OCR, REGIMES, SPATIAL


def adapted_per_layer(layers: pd.DataFrame) -> go.Figure:
    """Fig. 7a, with the candidates and survivors inside."""
    figure = go.Figure()
    for name, column, colour in (
        ("adapted", "n_adapted", ADAPTED),
        ("spatial candidates", "n_spatial_candidates", "#a9c6e6"),
        ("spatial survivors", "n_spatial", SPATIAL),
        ("OCR survivors", "n_ocr", OCR),
    ):
        figure.add_bar(
            x=layers.layer,
            y=layers[column],
            name=name,
            marker_color=colour,
            hovertemplate="layer %{x}<br>%{y:,} " + name + "<extra></extra>",
        )
    figure.update_layout(
        title="Features per layer",
        xaxis_title="layer",
        yaxis_title="features",
        barmode="group",
        bargap=0.25,
        height=320,
    )
    return _below(figure).update_xaxes(dtick=_tick(layers))


def cosine_per_layer(layers: pd.DataFrame) -> go.Figure:
    """Fig. 7b and Fig. 5: mean decoder cosine of the adapted, of all, and by regime."""
    figure = go.Figure()
    for name, column, line in (
        ("all, text regime", "mean_cosine", {"color": REGIMES["text"]}),
        ("adapted, text regime", "mean_cosine_adapted", {"color": ADAPTED, "width": 3}),
        ("image regime", "mean_cosine_image", {"color": REGIMES["image"], "dash": "dot"}),
        ("full regime", "mean_cosine_full", {"color": REGIMES["full"], "dash": "dot"}),
        ("random start", "mean_cosine_random", {"color": FAINT, "dash": "dot"}),
    ):
        if layers[column].notna().any():
            figure.add_scatter(
                x=layers.layer,
                y=layers[column],
                name=name,
                mode="lines+markers",
                line=line,
                hovertemplate="layer %{x}<br>mean cosine %{y:.3f}<extra>" + name + "</extra>",
            )
    figure.update_layout(
        title="Mean decoder cosine", xaxis_title="layer", yaxis_title="cosine", height=320
    )
    return _below(figure).update_xaxes(dtick=_tick(layers))


def training_curve(curves: pd.DataFrame) -> go.Figure:
    """Fig. 1: unexplained variance while the SAEs adapt; mean over layers, band best to worst."""
    figure = go.Figure()
    for regime, rows in curves.groupby("regime", sort=False):
        at = rows.groupby("tokens_seen").fvu.agg(["mean", "min", "max"]).reset_index()
        colour = REGIMES.get(str(regime), FAINT)
        if rows.layer.nunique() > 1:
            figure.add_scatter(
                x=pd.concat([at.tokens_seen, at.tokens_seen[::-1]]),
                y=pd.concat([at["max"], at["min"][::-1]]),
                fill="toself",
                fillcolor=colour,
                opacity=0.12,
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=regime,
            )
        figure.add_scatter(
            x=at.tokens_seen,
            y=at["mean"],
            name=str(regime),
            legendgroup=regime,
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"size": 5},
            hovertemplate="%{x:,} tokens<br>FVU %{y:.3f}<extra>" + str(regime) + "</extra>",
        )
    figure.update_layout(
        title="Unexplained variance (FVU)",
        xaxis_title="training tokens seen",
        yaxis_title="FVU, held-out tokens",
        height=320,
    )
    return _below(figure).update_yaxes(rangemode="tozero")


def _below(figure: go.Figure) -> go.Figure:
    return figure.update_layout(
        legend={"y": -0.28, "yanchor": "top", "x": 0, "xanchor": "left", "font": {"size": 12}}
    )


def _tick(layers: pd.DataFrame) -> int:
    return max(1, len(layers) // 16)
