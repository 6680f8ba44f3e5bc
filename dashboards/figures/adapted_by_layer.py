"""How many features of each layer adapted, and how many of them for sight (paper Fig. 7a; A.3)."""

import pandas as pd
from matplotlib.figure import Figure

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.dictionary.layer_curves import COUNTS
from feature_atlas.dashboards.figures.canvas import Undrawable, new_figure
from feature_atlas.dashboards.figures.cosine_by_layer import layer_axis


def figure_7a(run: pd.Series) -> Figure:
    """A group of bars per layer; the paper draws the first."""
    layers = queries.adapted_by_layer(run.run_id)
    if layers.empty or not layers.n_adapted.sum():
        raise Undrawable(
            "no feature of the run is adapted; its thresholds are in its configuration"
        )
    counted = [bar for bar in COUNTS if layers[bar[1]].notna().any()]
    note = (
        "Adapted: visual energy above ε and cosine in the bottom share. Beyond the null: turned "
        "further than refitting the base model does at as many firings: surely (q), and by enough."
    )
    if len(counted) < len(COUNTS):
        note += (
            " This run lacks a control: nothing says how many of the adapted turned for a reason."
        )
    figure = new_figure(
        run,
        f"Figure 7a. Adapted features per layer ({layers.n_adapted.sum():,} of "
        f"{run.n_layers * run.d_sae:,})",
        note,
        4.4,
    )
    panel = figure.subplots()
    width = 0.8 / len(counted)
    for place, (label, column, colour) in enumerate(counted):
        counts = layers[column].fillna(0).astype(int)
        panel.bar(
            layers.layer - 0.4 + (place + 0.5) * width,
            counts,
            width,
            label=f"{label}: {counts.sum():,}",
            color=colour,
        )
    panel.grid(axis="x", visible=False)
    panel.set_ylabel(f"features, of {run.d_sae:,} in a layer")
    panel.margins(y=0.12)
    layer_axis(panel)
    figure.legend(loc="outside right center")
    return figure
