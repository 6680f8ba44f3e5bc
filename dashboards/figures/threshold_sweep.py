"""What the adapted set would be at other thresholds (paper Fig. 8; A.4)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from feature_atlas.dashboards.features.operating_point import chosen_point, sweep_around
from feature_atlas.dashboards.features.sweep_map import PANELS
from feature_atlas.dashboards.figures.canvas import Undrawable, new_figure


def figure_8(run: pd.Series) -> Figure:
    """Three maps over both thresholds; the white circle is the run's own point."""
    epsilon, quantile = chosen_point(run)
    sweep = sweep_around(run)
    if not sweep.n_selected.sum():
        raise Undrawable("no pair of thresholds selects a feature: none turned and sees")
    figure = new_figure(
        run,
        "Figure 8. Threshold sweep for the adapted set",
        f"White circle: the operating point of the run, ε = {epsilon:g} and the bottom "
        f"{100 * quantile:g} % of cosines; n = {run.n_layers * run.d_sae:,} features. "
        "Never updated features are not selected. Correlation: 0 where a count is the same in "
        "every layer.",
        4.4,
    )
    panels = figure.subplots(1, 3, sharey=True)
    for panel, (title, column) in zip(panels, PANELS, strict=True):
        _draw(panel, sweep.pivot(index="cosine_quantile", columns="epsilon", values=column), title)
        panel.plot(
            epsilon, 100 * quantile, "o", markersize=11, markerfacecolor="none",
            markeredgecolor="white", markeredgewidth=2.2, label="operating point",
        )  # fmt: skip
    panels[0].set_ylabel("cosine cut-off, bottom % of features")
    return figure


def _draw(panel: Axes, values: pd.DataFrame, title: str) -> None:
    grid = values.to_numpy(float)
    shared: dict[str, object] = {"cmap": "viridis", "shading": "nearest", "rasterized": True}
    if values.to_numpy().max() > 1:
        grid = np.maximum(grid, 1)  # a logarithm has no place for 0
        shared["norm"] = LogNorm(grid.min(), max(grid.max(), 2 * grid.min()))
    else:
        shared |= {"vmin": min(0.0, grid.min()), "vmax": 1}
    mesh = panel.pcolormesh(values.columns, 100 * values.index, grid, **shared)
    panel.set_xscale("log")
    panel.grid(visible=False)
    panel.set_title(title)
    panel.set_xlabel("visual energy ε, normalised units²")
    bar = panel.figure.colorbar(mesh, ax=panel, location="bottom", shrink=0.9, aspect=30)
    if "norm" in shared:
        bar.set_ticks(LogLocator(subs=(1, 2, 5)), minor=False)
        bar.ax.minorticks_off()
        bar.ax.xaxis.set_major_formatter("{x:,.0f}")
