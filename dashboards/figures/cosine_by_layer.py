"""How far decoders turn in each layer (paper Figs 5 and 7b; A.1, A.3)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.dictionary.layer_curves import COSINES
from feature_atlas.dashboards.figures.canvas import Undrawable, new_figure
from feature_atlas.dashboards.palette import ADAPTED, CONTROLS, INK, REGIMES


def figure_5(run: pd.Series) -> Figure:
    """Left: mean over all features, as the paper. Right: closer, over those that were updated."""
    cosines = queries.cosines_by_layer(run.run_id)
    if cosines.empty:
        raise Undrawable("the run has no decoder cosines; the stage `decoder_cosine` leaves them")
    fired = cosines.groupby("regime", sort=False).n_fired.sum()
    shares = ", ".join(f"{regime} {n:,}" for regime, n in fired.items())
    figure = new_figure(
        run,
        "Figure 5. Decoder cosine with the base dictionary",
        "1: kept its direction, 0: a new one. Dashed: our controls; refit, the base model on plain "
        "text, is how far training alone turns features; language, the same questions without "
        "pictures. Features that never fired in training were never updated: their cosine is 1. "
        f"Band: the middle half of the features, text. Features that fired: {shares}.",
        4.9,
    )
    left, right = figure.subplots(1, 2)
    for regime, rows in cosines.groupby("regime", sort=False):
        line = _line(str(regime))
        left.plot(rows.layer, rows["mean"], label=regime, **line)
        if regime == "random":  # near 0 by its start, and would press the others together
            continue
        right.plot(rows.layer, rows.mean_fired, label=regime, **line)
        if regime == "text":
            middle = {"color": line["color"], "alpha": 0.12, "linewidth": 0}
            right.fill_between(rows.layer, rows.lower_fired, rows.upper_fired, **middle)
    left.set_title(f"Mean over all {run.d_sae:,} features of a layer")
    right.set_title("Mean over the features that fired, without random")
    left.set_ylabel("decoder cosine, base to adapted")
    for panel in (left, right):
        layer_axis(panel)
    left.legend(ncols=2, loc="center right")
    return figure


def figure_7b(run: pd.Series) -> Figure:
    """Adapted against all, and against what their controls explain."""
    cosines = queries.adapted_cosines(run.run_id)
    n_adapted, n_turned = int(cosines.n_adapted.sum()), int(cosines.n_turned.sum())
    if not n_adapted:
        raise Undrawable(
            "no feature of the run is adapted; its thresholds are in its configuration"
        )
    figure = new_figure(
        run,
        "Figure 7b. Decoder cosine of adapted features by layer",
        f"Means over {n_adapted:,} adapted features of {run.n_layers * run.d_sae:,}, in the text "
        "regime; band: their middle half. Null: the cosine of refit features of the layer that "
        "fired as often. Language: the same features adapted to the same questions without "
        "pictures." + _without(cosines),
        4.6,
    )
    panel = figure.subplots()
    panel.fill_between(
        cosines.layer, cosines.lower, cosines.upper, color=ADAPTED, alpha=0.25, linewidth=0
    )
    for label, column, colour, is_dashed in COSINES:
        if cosines[column].notna().any():
            count = f" ({n_turned:,})" if column == "mean_turned" else ""
            panel.plot(
                cosines.layer, cosines[column].astype(float), label=label + count, color=colour,
                linestyle="--" if is_dashed else "-", linewidth=2, marker="o", markersize=4,
            )  # fmt: skip
    panel.set_ylabel("decoder cosine, base to adapted")
    layer_axis(panel)
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def layer_axis(panel: Axes) -> None:
    """Whole layers only."""
    panel.set_xlabel("layer")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def _line(regime: str) -> dict[str, object]:
    return {
        "color": REGIMES.get(regime, INK),
        "linestyle": "--" if regime in CONTROLS else "-",
        "linewidth": 1.8,
        "marker": "o",
        "markersize": 3.5,
    }


def _without(cosines: pd.DataFrame) -> str:
    lacking = [
        name
        for name, column in (("refit", "mean_null"), ("language", "mean_language"))
        if cosines[column].isna().all()
    ]
    return f" Not in this run: the regime {' and the regime '.join(lacking)}." if lacking else ""
