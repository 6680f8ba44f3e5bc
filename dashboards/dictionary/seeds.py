"""How much of each set of features comes back when the data come in another order."""

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.palette import SPATIAL, draw, plain
from feature_atlas.dashboards.table_under import table_under

COLOURS = ("#8fb7e0", SPATIAL, "#1d4777")


def show_seeds(run: pd.Series) -> None:
    """One line a set; nothing was repeated where the run has one seed."""
    st.subheader(
        "Over seeds",
        help="The regime text and its controls trained again, to the same tokens in other orders "
        "(adapt.seeds). Of the first seed's set: the share that other seeds have too; hollow: if "
        "they drew sets of their size blindly. Candidates and survivors: whether they are adapted "
        "again; shift and neutral prompts are measured of the first seed alone.",
    )
    sets = queries.seed_sets(run.run_id)
    if sets.empty:
        st.info(
            "One seed: set `adapt.seeds: [0, 1, 2]` in the configuration, and build it again with "
            "`feature-atlas build`, to see which sets another order of the data gives."
        )
        return
    draw(reproduction(sets), "seed_sets")
    table_under(sets, "seed_sets")


def reproduction(sets: pd.DataFrame) -> go.Figure:
    """Shares found again in at least 2, 3, ... seeds, beside those of blind draws."""
    figure, n_all = go.Figure(), int(sets.n_seeds.max())
    sizes = sets[sets.n_seeds == 1].set_index("feature_set").n_features
    for place, n_seeds in enumerate(range(2, n_all + 1)):
        rows = sets[sets.n_seeds == n_seeds]
        names = [f"{plain(name)} ({sizes[name]:,})" for name in rows.feature_set]
        colour, name = COLOURS[place % len(COLOURS)], f"in {n_seeds} of {n_all} seeds or more"
        figure.add_scatter(
            x=rows.share,
            y=names,
            customdata=rows.n_features,
            mode="markers",
            name=name if n_seeds < n_all else f"in all {n_all} seeds",
            marker={"color": colour, "size": 11},
            hovertemplate="%{y}: %{x:.1%}, %{customdata:,} features<extra></extra>",
        )
        figure.add_scatter(
            x=rows.share_by_chance,
            y=names,
            mode="markers",
            name="by chance",
            showlegend=n_seeds == n_all,
            marker={"color": colour, "size": 9, "symbol": "circle-open", "line": {"width": 2}},
            hovertemplate="%{y}, by chance: %{x:.1%}<extra></extra>",
        )
    figure.update_layout(
        xaxis={
            "title": "share of the first seed's set",
            "tickformat": ".0%",
            "range": [-0.02, 1.05],
        },
        yaxis={"autorange": "reversed", "title": None},
        height=110 + 42 * sets.feature_set.nunique(),
    )
    return figure
