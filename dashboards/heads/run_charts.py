"""Heads over a whole run: by layer, by head, by group of features, and how far estimates go."""

import pandas as pd
import plotly.graph_objects as go

from feature_atlas.dashboards.heads.head_grid import Scale, head_grids
from feature_atlas.dashboards.palette import CAUSAL, DIVERGING, NEUTRAL, OCR, SPATIAL, plain

TITLES = {"B": "Method B", "A": "Method A"}
COLOURS = {"A": OCR, "B": SPATIAL}
SHADES = "Blues"

SHOWN = {
    "score": ("drive", "mean score"),
    "QK fix": ("drive_fix", "mean score, softmax anew"),
    "RelP": ("drive_relp", "mean by relevance, softmax anew"),
    "integrated": ("drive_ig", "mean by integrated gradients"),
    "GradDrop": ("drive_grad_drop", "mean size with one layer's write left out"),
    "exact patch": ("exact_drive", "mean effect of the real swap"),
    "in the top five": ("n_in_top_five", "features with it among their first five heads"),
    "causal": ("n_causal", "features that it was confirmed to cause"),
}
"""What the map can show: column of `queries.head_totals`, and what it is."""

RULES = {"fix": "QK fix", "relp": "RelP", "ig": "integrated", "grad_drop": "GradDrop"}
PARTS = {"qk": "queries and keys", "v": "values", "z": "output"}
SCOPES = {
    "within features": "within_feature",
    "within layers": "within_layer",
    "all pairs": "all",
}


def layer_curve(curves: pd.DataFrame) -> go.Figure:
    """Fig. 12: summed score of a layer's heads, mean over the traced features."""
    figure = go.Figure()
    for method, rows in curves.groupby("method", sort=False):
        figure.add_scatter(
            x=rows.head_layer,
            y=rows.sum_drive,
            customdata=rows[["mean_drive", "sum_abs_score", "n_features"]],
            name=f"method {method}",
            mode="lines+markers",
            line={"color": COLOURS[str(method)], "width": 2},
            hovertemplate="layer %{x}: sum over heads %{y:.3g}<br>a head %{customdata[0]:.3g}, "
            "sum of |score| %{customdata[1]:.3g}<br>%{customdata[2]:,} features"
            f"<extra>method {method}</extra>",
        )
    figure.add_hline(0, line={"width": 1, "color": NEUTRAL})
    figure.update_xaxes(title_text="layer of the heads", dtick=_tick(curves.head_layer.nunique()))
    figure.update_yaxes(title_text="score, raw residual units", rangemode="tozero")
    return figure.update_layout(height=320, legend={"x": 0, "xanchor": "left"})


def run_map(totals: pd.DataFrame, shown: str) -> go.Figure:
    """Fig. 13: layer by head, by both methods; red drives features, blue holds them back."""
    column, meaning = SHOWN[shown]
    scale: Scale = SHADES if column.startswith("n_") else DIVERGING
    known = totals.dropna(subset=column)
    return head_grids(
        known,
        column,
        TITLES,
        dict.fromkeys(TITLES, scale),
        f"{meaning} %{{z:.3g}}<br>traced: %{{customdata[0]:,}}, in the top five of "
        "%{customdata[1]:,}<br>swapped for real: %{customdata[2]:,}, causal: %{customdata[3]:,}",
        ["n_features", "n_in_top_five", "n_patched", "n_causal"],
    )


def recurrence_map(recurrence: pd.DataFrame) -> go.Figure:
    """Share of each group's features that have a head among their first five."""
    names = recurrence.assign(
        group=recurrence.name.map(plain),
        place=[f"L{x.head_layer}H{x.head}" for x in recurrence.itertuples()],
    )
    names = names[names.grouped_by != "skill"]
    heads, groups = names.place.unique(), names.group.unique()
    wide = names.pivot(index="place", columns="group", values=["share", "n_in_top_five",
                                                               "n_features"])  # fmt: skip
    share = wide["share"].reindex(index=heads, columns=groups).fillna(0)
    counts = [wide[c].reindex(index=heads, columns=groups) for c in ("n_in_top_five", "n_features")]
    figure = go.Figure(
        go.Heatmap(
            x=groups,
            y=heads,
            z=share,
            customdata=[
                list(zip(*(c.fillna(0).loc[head].astype(int) for c in counts), strict=True))
                for head in heads
            ],
            zmin=0,
            zmax=1,
            colorscale=SHADES,
            xgap=1,
            ygap=1,
            colorbar={"thickness": 10, "tickformat": ".0%"},
            hovertemplate="<b>%{y}</b>, %{x}<br>among the first five of %{customdata[0]} of "
            "%{customdata[1]} features<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed", title_text="head", showgrid=False, type="category")
    figure.update_xaxes(
        title_text="features by the relation of their statements", showgrid=False, type="category"
    )
    return figure.update_layout(height=140 + 24 * len(heads))


def agreement_chart(agreement: pd.DataFrame) -> go.Figure:
    """How well each estimate foretells the real swap: a line per measure, 1 is all of it."""
    figure = go.Figure()
    for name, column, colour, symbol in (
        ("rank correlation", "spearman", SPATIAL, "circle"),
        ("correlation", "pearson", OCR, "diamond"),
        ("same sign", "sign_agreement", "#3a97a8", "square"),
        ("top ten shared", "top_overlap", CAUSAL, "triangle-up"),
        ("top ten, by chance", "top_overlap_by_chance", NEUTRAL, "triangle-up-open"),
        ("rank correlation of two draws of samples", "stable_spearman", NEUTRAL, "circle-open"),
        ("rank correlation of two wordings", "wordings_spearman", NEUTRAL, "square-open"),
    ):
        if agreement[column].isna().all():
            continue
        figure.add_scatter(
            x=[_estimate(x) for x in agreement.itertuples()],
            y=agreement[column].astype(float),
            name=name,
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 10},
            error_y=_ends(agreement, column),
            customdata=agreement[["n_pairs", "n_features", "n_passes", "n_passes_exact"]],
            hovertemplate=f"%{{x}}: {name} %{{y:.2f}}<br>%{{customdata[0]:,}} pairs of "
            "%{customdata[1]:,} features<br>%{customdata[2]:.1f} passes through the model for a "
            "feature, real swaps of all heads %{customdata[3]:.0f}<extra></extra>",
        )
    low = min(0.0, float(agreement[["spearman", "pearson"]].min().min() or 0) - 0.05)
    figure.update_yaxes(range=[low, 1.05], title_text="agreement, 1: all")
    figure.update_xaxes(type="category", tickangle=0)
    return figure.update_layout(height=360, legend={"x": 0, "xanchor": "left"})


def by_corruption(agreement: pd.DataFrame) -> pd.DataFrame:
    """A row for each estimate; of each corruption its rank correlation, and the top ten shared."""
    wide = agreement.pivot(
        index="estimate", columns="corruption", values=["spearman", "top_overlap"]
    )
    names = {"spearman": "rank correlation", "top_overlap": "top ten shared"}
    wide.columns = [f"{names[value]}, {corruption}" for value, corruption in wide.columns]
    return wide.reindex(agreement.estimate.unique()).reset_index()


def _ends(agreement: pd.DataFrame, column: str) -> dict[str, object] | None:
    """The interval over samples drawn anew, where there is one."""
    if f"{column}_low" not in agreement or agreement[f"{column}_low"].isna().all():
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": agreement[f"{column}_high"] - agreement[column],
        "arrayminus": agreement[column] - agreement[f"{column}_low"],
        "thickness": 1,
        "width": 3,
    }


def _estimate(row: object) -> str:
    way, _, rule = str(getattr(row, "estimate", "")).partition("_")
    return way + (f"<br>{RULES[rule]}" if rule else "")


def _tick(n: int) -> int:
    return max(1, n // 16)
