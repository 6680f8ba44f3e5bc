"""How fast SAEs adapt: unexplained variance by tokens seen (paper Figs 1 and 6; 4.1, A.2)."""

from math import ceil

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.dictionary.training_curves import final_values
from feature_atlas.dashboards.figures.canvas import Undrawable, new_figure
from feature_atlas.dashboards.palette import CONTROLS, FAINT, REGIMES

HIGHEST = 1.25
"""FVU at which a panel ends: 1 is no better than the mean."""

COLUMNS = ("regime", "start", "end", "SD", "min", "max", "question", "image")


def figure_1(run: pd.Series) -> Figure:
    """Left: mean over layers, band from the best to the worst layer. Right: the last values."""
    curves = _curves(run)
    own = curves[curves.role == "all"]
    figure = new_figure(
        run,
        "Figure 1. SAE adaptation",
        "FVU: fraction of variance unexplained on held-out tokens, 0 is perfect. Lines: mean over "
        f"{own.layer.nunique()} layers; bands: best to worst layer; dashed: our controls on text "
        "alone. Each regime is judged on the tokens that it trains on; 'question' and 'image' in "
        "the table judge all on the same kind of token (refit: plain text). SD: over layers. "
        f"Bold: the lowest mean of the paper's regimes. {_held_out(own)}" + _cut(own),
        4.5,
    )
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    for regime, rows in own.groupby("regime", sort=False):
        _draw_mean(left, str(regime), rows)
    _label(left, own)
    left.set_title("While training")
    left.legend(ncols=2, loc="upper right")
    _draw_table(right, final_values(curves))
    return figure


def figure_6(run: pd.Series) -> Figure:
    """A panel per layer, a line per regime."""
    own = _curves(run).query("role == 'all'")
    layers = sorted(own.layer.unique())
    n_columns = min(len(layers), max(1, round((1.5 * len(layers)) ** 0.5)))
    n_rows = ceil(len(layers) / n_columns)
    figure = new_figure(
        run,
        "Figure 6. FVU per layer and regime",
        "Held-out tokens of the kind that each regime trains on. Dashed: our controls on text "
        f"alone. All panels share their axes. {_held_out(own)}" + _cut(own),
        1.6 + 2.0 * n_rows,
    )
    part = figure.subfigures()  # a legend of the figure itself would lie on its title
    panels = part.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for panel, layer in zip(panels.flat, layers, strict=False):
        for regime, rows in own[own.layer == layer].groupby("regime", sort=False):
            panel.plot(rows.tokens_seen, rows.fvu, label=regime, **_line(str(regime)))
        panel.set_title(f"layer {layer}")
    for panel in panels.flat[len(layers) :]:
        panel.set_visible(False)
    _label(panels.flat[0], own)
    for panel in panels.flat:
        panel.label_outer()
        panel.set_xlabel("")
        panel.set_ylabel("")
    for panel in panels[:, 0]:
        panel.set_ylabel("FVU")
    panels[-1, 0].set_xlabel("training tokens seen")
    part.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside upper left", ncols=7)
    return figure


def _curves(run: pd.Series) -> pd.DataFrame:
    curves = queries.fvu_curves(run.run_id)
    if curves.empty:
        raise Undrawable("the run has no training curves; the stage `adapt` leaves them")
    return curves


def _draw_mean(panel: Axes, regime: str, rows: pd.DataFrame) -> None:
    at = rows.groupby("tokens_seen").fvu.agg(["mean", "min", "max"])
    panel.fill_between(
        at.index, at["min"], at["max"], color=REGIMES.get(regime, FAINT), alpha=0.10, linewidth=0
    )
    panel.plot(at.index, at["mean"], label=regime, **_line(regime))


def _line(regime: str) -> dict[str, object]:
    dashes = "--" if regime in CONTROLS else "-"
    return {"color": REGIMES.get(regime, FAINT), "linewidth": 1.8, "linestyle": dashes}


def _held_out(own: pd.DataFrame) -> str:
    least, most = own.n_tokens.min(), own.n_tokens.max()
    return f"n = {least:,}{f' to {most:,}' if most > least else ''} tokens per evaluation."


def _cut(own: pd.DataFrame) -> str:
    return f" Values above {HIGHEST:g} leave the panel." if own.fvu.max() > HIGHEST else ""


def _label(panel: Axes, own: pd.DataFrame) -> None:
    panel.set_xlabel("training tokens seen")
    panel.set_ylabel("FVU on held-out tokens")
    panel.set_ylim(0, min(HIGHEST, 1.05 * own.fvu.max()))
    panel.set_xlim(0, None)
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.xaxis.set_major_formatter(_short)


def _short(number: float, _: int | None = None) -> str:
    """7,500,000 as 7.5 M."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def _draw_table(panel: Axes, values: pd.DataFrame) -> None:
    panel.axis("off")
    panel.set_title("Over layers, after training (start: before it)")
    shown = values.map(lambda value: "–" if pd.isna(value) else f"{value:.3f}")
    cells = [[str(regime), *row] for regime, row in zip(shown.index, shown.to_numpy(), strict=True)]
    table = panel.table(
        cellText=cells, colLabels=COLUMNS, loc="upper left", edges="horizontal", cellLoc="right"
    )
    table.auto_set_font_size(False)
    table.set_fontsize(9.5)
    table.scale(1, 1.9)
    lowest = list(values.index).index(values.end.drop(list(CONTROLS), errors="ignore").idxmin()) + 1
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor("#cfd3d9")
        if row == 0 or (row == lowest and COLUMNS[column] == "end"):
            cell.get_text().set_fontweight("bold")
        if row and column == 0:
            cell.get_text().set_color(REGIMES.get(str(values.index[row - 1]), FAINT))
