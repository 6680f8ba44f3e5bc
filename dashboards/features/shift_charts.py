"""Who fires more on a skill, and whether it stands what a sceptic asks (Figs 9, 10; 4.3, A.5)."""

import pandas as pd
import plotly.graph_objects as go

from feature_atlas.dashboards.palette import ADAPTED, ALL, CAUSAL, NEUTRAL, SKILLS, cloud_trace
from feature_atlas.dashboards.queries.skill_shifts import LEVELS

N_WITH_INTERVALS = 100
"""Survivors drawn with their intervals: more would hide one another."""

ODDS = [1e-4, 1e-3, 0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100, 1000, 10_000, 100_000]
RATIO = "odds ratio of firing (above 1: fires more)"


def colour_of_skill(skill: str) -> str:
    """Its own colour, for a skill of one's own the last."""
    return SKILLS.get(skill, "#3d7f5c")


def shift_scatter(candidates: pd.DataFrame, cloud: pd.DataFrame, skill: str) -> go.Figure:
    """Difference of firing rates against the odds ratio."""
    figure, colour = go.Figure(), colour_of_skill(skill)
    known = candidates.dropna(subset="odds_ratio")
    survives = known.survives.astype(bool)
    if len(cloud):
        cloud_squares = cloud_trace(len(cloud))(
            x=100 * cloud.delta_p,
            y=cloud.odds_ratio,
            customdata=cloud[["n_features"]],
            mode="markers",
            name=f"adapted, no candidate ({cloud.n_features.sum():,})",
            marker={"color": ADAPTED, "symbol": "square", "size": 5, "opacity": 0.6},
            hovertemplate="%{customdata[0]:,} features around<br>Δp %{x:+.2f} pp, "
            "odds ratio %{y:.2f}<extra></extra>",
        )
        figure.add_trace(cloud_squares)
    hollow = {"symbol": "square-open", "size": 8, "color": colour, "line": {"width": 1.4}}
    filled = {"symbol": "square", "size": 9, "color": colour}
    cross = {"symbol": "cross-thin", "size": 9, "line": {"width": 1.6, "color": CAUSAL}}
    turned = known[known.is_turned_by_vision.eq(True)]  # NULL without controls
    for name, rows, marker in (
        ("candidate, lost", known[~survives], hollow),
        ("survives", known[survives], filled),
        ("turned by vision", turned, cross),
    ):
        if len(rows):
            figure.add_scatter(
                x=100 * rows.delta_p,
                y=rows.odds_ratio,
                error_y=_intervals(rows) if name == "survives" else None,
                customdata=rows[["layer", "feature", "low", "high"]],
                mode="markers",
                name=f"{name} ({len(rows):,})",
                marker=marker,
                hovertemplate="<b>L%{customdata[0]} F%{customdata[1]}</b><br>Δp %{x:+.2f} pp<br>"
                "odds ratio %{y:.2f} [%{customdata[2]:.2f}, %{customdata[3]:.2f}]<extra></extra>",
            )
    figure.add_hline(1, line={"width": 1, "color": NEUTRAL})
    figure.add_vline(0, line={"width": 1, "color": NEUTRAL})
    figure.update_xaxes(title_text="Δp, firing rate on the skill minus elsewhere, pp")
    figure.update_yaxes(type="log", title_text=RATIO, tickvals=ODDS, ticktext=[*map(str, ODDS)])
    return figure.update_layout(height=500, legend={"x": 0, "xanchor": "left"})


def level_ranges(levels: pd.DataFrame, skill: str) -> go.Figure:
    """The candidates' odds ratios on every level: median and middle half."""
    figure = go.Figure(
        go.Scatter(
            x=levels["median"],
            y=[LEVELS[level].meaning for level in levels.level],
            error_x={
                "array": levels.upper - levels["median"],
                "arrayminus": levels["median"] - levels.lower,
                "thickness": 2,
                "width": 5,
            },
            mode="markers+text",
            text=[f"{row.n_above:,} of {row.n_candidates:,}" for row in levels.itertuples()],
            textposition="top center",
            marker={"size": 10, "color": colour_of_skill(skill)},
            customdata=levels[["lower", "upper"]],
            hovertemplate="%{y}: median %{x:.2f}, middle half %{customdata[0]:.2f} to "
            "%{customdata[1]:.2f}<br>interval above 1: %{text}<extra></extra>",
        )
    )
    figure.add_vline(1, line={"width": 1, "color": NEUTRAL})
    figure.update_xaxes(
        type="log",
        title_text="odds ratio (above 1: more)",
        tickvals=ODDS,
        ticktext=[*map(str, ODDS)],
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, ticksuffix="  ")
    return figure.update_layout(height=110 + 50 * len(levels), margin={"t": 20})


def rate_histogram(rates: pd.DataFrame, skill: str, per_decade: int) -> go.Figure:
    """Fig. 9, left: all features by their firing rate on the skill and elsewhere."""
    figure = go.Figure()
    for split, name, colour in (
        ("base", "other questions", ALL),
        ("skill", "the skill's questions", colour_of_skill(skill)),
    ):
        rows = rates[rates.split == split]
        silent = int(rows.n_features[rows.rate.isna()].sum())
        rows = rows[rows.rate.notna()].astype({"rate": float})
        figure.add_bar(
            x=rows.rate * 10 ** (0.5 / per_decade),
            width=rows.rate * (10 ** (1 / per_decade) - 1),
            y=rows.n_features,
            name=f"{name} (never fire: {silent:,})",
            marker={
                "color": colour if split == "base" else "rgba(0,0,0,0)",
                "line": {"width": 0 if split == "base" else 1.6, "color": colour},
            },
            hovertemplate=f"around %{{x:.2g}} per token: %{{y:,}} features<extra>{name}</extra>",
        )
    figure.update_xaxes(
        type="log", title_text="firing rate per token", exponentformat="power", dtick=1
    )
    return figure.update_layout(
        barmode="overlay", yaxis_title="features per bin", height=360,
        legend={"x": 0, "xanchor": "left"},
    )  # fmt: skip


def _intervals(rows: pd.DataFrame) -> dict[str, object] | None:
    if len(rows) > N_WITH_INTERVALS:
        return None
    return {
        "array": rows.high - rows.odds_ratio,
        "arrayminus": rows.odds_ratio - rows.low,
        "thickness": 0.8,
        "width": 2,
    }
