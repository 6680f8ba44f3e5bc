"""What adaptation did in each layer: how many features turn, how far, what they see (A.1, A.3)."""

import pandas as pd
import plotly.graph_objects as go

from feature_atlas.dashboards.palette import (
    ADAPTED,
    CAUSAL,
    CONTROLS,
    FAINT,
    NEUTRAL,
    REGIMES,
    SPATIAL,
)

COSINE = "decoder cosine, base to adapted"

COUNTS = (
    ("adapted (the paper's operating point)", "n_adapted", ADAPTED),
    ("of them beyond the refit null", "n_beyond_null", REGIMES["refit"]),
    ("of them beyond the language control", "n_beyond_language", REGIMES["language"]),
    ("of them beyond both: turned by vision", "n_turned_by_vision", CAUSAL),
)
"""Bars of Fig. 7a: what they are, column of `queries.adapted_by_layer`, colour."""

COSINES = (
    ("all features", "mean_all", FAINT, False),
    ("adapted", "mean_adapted", ADAPTED, False),
    ("turned by vision", "mean_turned", CAUSAL, False),
    ("adapted: expected of the null", "mean_null", REGIMES["refit"], True),
    ("adapted: in the language control", "mean_language", REGIMES["language"], True),
)
"""Lines of Fig. 7b: what they are, column of `queries.adapted_cosines`, colour, whether dashed."""

ENERGIES = (
    ("image tokens", "image", REGIMES["image"]),
    ("text, with its image (E_v)", "question", SPATIAL),
    ("text, no image", "no_image", NEUTRAL),
)
"""Lines of the energies: what they are, column of `queries.energies_by_layer`, colour."""


def adapted_bars(layers: pd.DataFrame, d_sae: int) -> go.Figure:
    """Fig. 7a: adapted features of each layer, and how many their controls leave."""
    figure = go.Figure()
    for name, column, colour in COUNTS:
        if layers[column].notna().any():
            figure.add_bar(
                x=layers.layer,
                y=layers[column],
                customdata=layers[column].astype(float) / d_sae,
                name=name,
                marker_color=colour,
                hovertemplate="layer %{x}: %{y:,}, %{customdata:.2%} of the layer"
                f"<extra>{name}</extra>",
            )
    figure.update_layout(barmode="group", bargap=0.25, yaxis_title=f"features, of {d_sae:,}")
    return _by_layer(figure, layers)


def regime_cosines(means: pd.DataFrame) -> go.Figure:
    """Fig. 5: mean cosine over all features of a layer, by regime."""
    figure = go.Figure()
    for name, rows in means.groupby("regime", sort=False):
        regime = str(name)
        figure.add_scatter(
            x=rows.layer,
            y=rows["mean"],
            hovertemplate=f"layer %{{x}}: mean %{{y:.3f}}<extra>{regime}</extra>",
            **regime_line(regime),
        )
    figure.update_layout(yaxis_title=COSINE)
    return _by_layer(figure, means)


def cosine_spread(quantiles: pd.DataFrame, regime: str) -> go.Figure:
    """Median of the features that fired, the middle half and the middle nine tenths."""
    figure, colour = go.Figure(), colour_of(regime)
    for low, high in (("lowest_5", "highest_5"), ("lowest_25", "highest_25")):
        _band(figure, quantiles.layer, quantiles[low], quantiles[high], colour, regime)
    figure.add_scatter(
        x=quantiles.layer,
        y=quantiles["median"],
        customdata=quantiles[["n_features", "lowest_5", "lowest_25", "highest_25", "highest_5"]],
        hovertemplate="layer %{x}: median %{y:.3f}<br>middle half %{customdata[2]:.3f} to "
        "%{customdata[3]:.3f}<br>middle 90 % %{customdata[1]:.3f} to %{customdata[4]:.3f}"
        f"<br>%{{customdata[0]:,}} features fired<extra>{regime}</extra>",
        **regime_line(regime),
    )
    figure.update_layout(yaxis_title=COSINE)
    return _by_layer(figure, quantiles)


def adapted_cosines(cosines: pd.DataFrame) -> go.Figure:
    """Fig. 7b: the adapted against all, and against what their controls explain."""
    figure = go.Figure()
    _band(figure, cosines.layer, cosines.lower, cosines.upper, ADAPTED, "adapted")
    for name, column, colour, is_dashed in COSINES:
        if cosines[column].notna().any():
            figure.add_scatter(
                x=cosines.layer,
                y=cosines[column].astype(float),
                name=name,
                legendgroup=name,
                mode="lines+markers",
                line={"color": colour, "width": 2, "dash": "dash" if is_dashed else "solid"},
                marker={"size": 5},
                hovertemplate=f"layer %{{x}}: mean %{{y:.3f}}<extra>{name}</extra>",
            )
    figure.update_layout(yaxis_title=COSINE)
    return _by_layer(figure, cosines)


def energy_curves(energies: pd.DataFrame) -> go.Figure:
    """Mean squared activation by kind of token, over all features of a layer; a logarithm."""
    figure = go.Figure()
    for name, column, colour in ENERGIES:
        figure.add_scatter(
            x=energies.layer,
            y=energies[column],
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"size": 5},
            hovertemplate=f"layer %{{x}}: %{{y:.3g}}<extra>{name}</extra>",
        )
    figure.update_yaxes(type="log", title_text="energy, normalised units²", exponentformat="power")
    return _by_layer(figure, energies)


def regime_line(regime: str) -> dict[str, object]:
    """How every chart draws a regime: its colour, dashed where it is a control on text alone."""
    return {
        "name": regime,
        "legendgroup": regime,
        "mode": "lines+markers",
        "line": {
            "color": colour_of(regime),
            "width": 2,
            "dash": "dash" if regime in CONTROLS else "solid",
        },
        "marker": {"size": 5},
    }


def colour_of(regime: str) -> str:
    """The colour of a regime, grey for one without."""
    return REGIMES.get(regime, FAINT)


def _band(
    figure: go.Figure, x: pd.Series, low: pd.Series, high: pd.Series, colour: str, group: str
) -> None:
    if low.isna().all():
        return
    figure.add_scatter(
        x=pd.concat([x, x[::-1]]),
        y=pd.concat([high, low[::-1]]).astype(float),
        mode="lines",
        fill="toself",
        fillcolor=colour,
        opacity=0.15,
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        legendgroup=group,
    )


def _by_layer(figure: go.Figure, layers: pd.DataFrame) -> go.Figure:
    figure.update_xaxes(title_text="layer", dtick=max(1, layers.layer.nunique() // 16))
    return figure.update_layout(height=340, legend={"x": 0, "xanchor": "left"})
