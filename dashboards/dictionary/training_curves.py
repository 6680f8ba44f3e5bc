"""How fast dictionaries adapt, and how well they end: unexplained variance (Figs 1, 6; A.2)."""

import pandas as pd
import plotly.graph_objects as go

from feature_atlas.dashboards.dictionary.layer_curves import colour_of, regime_line

AXIS = "FVU on held-out tokens"


def training_curve(curves: pd.DataFrame) -> go.Figure:
    """While training: mean over the layers of `curves`, band from the best to the worst layer."""
    figure = go.Figure()
    for name, rows in curves.groupby("regime", sort=False):
        regime = str(name)
        at = rows.groupby("tokens_seen").fvu.agg(["mean", "min", "max"]).reset_index()
        if rows.layer.nunique() > 1:
            figure.add_scatter(
                x=pd.concat([at.tokens_seen, at.tokens_seen[::-1]]),
                y=pd.concat([at["max"], at["min"][::-1]]),
                mode="lines",
                fill="toself",
                fillcolor=colour_of(regime),
                opacity=0.12,
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=regime,
            )
        figure.add_scatter(
            x=at.tokens_seen,
            y=at["mean"],
            customdata=at[["min", "max"]],
            hovertemplate="%{x:,} tokens: FVU %{y:.3f}, layers %{customdata[0]:.3f} to "
            f"%{{customdata[1]:.3f}}<extra>{regime}</extra>",
            **regime_line(regime),
        )
    figure.update_yaxes(rangemode="tozero", title_text=AXIS)
    return figure.update_layout(
        xaxis_title="training tokens seen", height=340, legend={"x": 0, "xanchor": "left"}
    )


def final_curve(curves: pd.DataFrame) -> go.Figure:
    """At the end of training, layer by layer."""
    figure = go.Figure()
    for name, rows in last_evaluations(curves).groupby("regime", sort=False):
        regime = str(name)
        figure.add_scatter(
            x=rows.layer,
            y=rows.fvu,
            customdata=rows[["n_tokens", "tokens_seen"]],
            hovertemplate="layer %{x}: FVU %{y:.3f} on %{customdata[0]:,} tokens, after "
            f"%{{customdata[1]:,}}<extra>{regime}</extra>",
            **regime_line(regime),
        )
    figure.update_yaxes(rangemode="tozero", title_text=AXIS)
    figure.update_xaxes(title_text="layer", dtick=max(1, curves.layer.nunique() // 16))
    return figure.update_layout(height=340, legend={"x": 0, "xanchor": "left"})


def last_evaluations(curves: pd.DataFrame) -> pd.DataFrame:
    """The rows of `queries.fvu_curves` after all training of their regime."""
    return curves[curves.tokens_seen == curves.groupby("regime").tokens_seen.transform("max")]


def final_values(curves: pd.DataFrame) -> pd.DataFrame:
    """Per regime, over layers: mean FVU at the start, mean, SD, min and max at the end on its own
    tokens; means at the end on question and on image tokens (NaN: not evaluated)."""
    own = curves[curves.role == "all"]
    last = last_evaluations(curves)
    ends = last[last.role == "all"].groupby("regime", sort=False).fvu
    by_role = last.groupby(["regime", "role"]).fvu.mean().unstack()
    return pd.DataFrame(
        {
            "start": own[own.tokens_seen == 0].groupby("regime").fvu.mean(),
            "end": ends.mean(),
            "SD": ends.std(),
            "min": ends.min(),
            "max": ends.max(),
            "question": by_role.get("question"),
            "image": by_role.get("image"),
        },
        index=own.regime.unique(),
    )
