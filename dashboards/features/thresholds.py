"""What the adapted set would be at other thresholds, counted while they move (Fig. 8; 4.2, A.4)."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.facts import show_facts
from feature_atlas.dashboards.features.operating_point import chosen_point, sweep_around
from feature_atlas.dashboards.features.sweep_map import selected_bars, sweep_maps
from feature_atlas.dashboards.palette import draw
from feature_atlas.dashboards.run_choice import choose_run
from feature_atlas.dashboards.table_under import table_under

STEPS_A_DECADE, DECADES_DOWN, DECADES_UP = 8, 5, 3


def choose_thresholds(run: pd.Series) -> tuple[float, float]:
    """epsilon and cosine quantile of the two sliders; they begin at the run's own."""
    epsilon, quantile = chosen_point(run)
    epsilons = {
        f"{epsilon * 10 ** (step / STEPS_A_DECADE):.3g}": None
        for step in range(-DECADES_DOWN * STEPS_A_DECADE, DECADES_UP * STEPS_A_DECADE + 1)
    }
    left, right = st.columns(2, gap="large")
    with left:
        tried_epsilon = st.select_slider(
            "Visual energy above ε, normalised units²",
            ["0", *epsilons],
            value=f"{epsilon:.3g}",
            key="epsilon",
            bind="query-params",
            help="E_v: mean squared activation on text tokens after the picture (A.4).",
        )
    with right:
        tried_percent = st.select_slider(
            "Decoder cosine among the bottom, % of all features",
            [_percent(share) for share in _quantiles(quantile)],
            value=_percent(quantile),
            key="bottom",
            bind="query-params",
            help="0: none; 100: every feature that was updated at all.",
        )
    return float(tried_epsilon), float(tried_percent) / 100


def show_counts(run: pd.Series, epsilon: float, quantile: float) -> None:
    """How many features these thresholds select, beside the stored selection."""
    cuts = queries.cosine_cuts(run.run_id, _quantiles(chosen_point(run)[1]))
    cut = float(cuts.cosine[(cuts.cosine_quantile - quantile).abs().idxmin()])
    layers = queries.selected_by_layer(run.run_id, epsilon, cut)
    selected, chosen, both = layers.n_selected.sum(), layers.n_chosen.sum(), layers.n_both.sum()
    either = selected + chosen - both
    show_facts(
        {
            "Selected": f"{selected:,} ({selected / layers.n_features.sum():.2%} of all)",
            "The run's adapted set": f"{chosen:,}",
            "In both": f"{both:,}",
            "Jaccard overlap": f"{both / either if either else 1:.3f}",
            "Correlation of layers": f"{_correlation(layers):.3f}",
            "Cosine at most": f"{cut:.4f}",
        }
    )
    draw(selected_bars(layers), "selected_by_layer")
    table_under(layers, "selected_by_layer")
    st.caption("The same set in SQL:")
    st.code(
        f"SELECT * FROM atlas.adapted_set({epsilon:g}, {quantile:g}, {run.run_id})", language="sql"
    )


def show_maps(run: pd.Series, tried: tuple[float, float]) -> None:
    """Fig. 8."""
    st.subheader(
        "All thresholds around the run's",
        help="Fig. 8. Circle: the run's own thresholds; cross: those of the sliders. Features that "
        "were never updated (cosine 1) are never selected. Correlation: 0 where a count is the "
        "same in every layer.",
    )
    sweep = sweep_around(run)
    draw(sweep_maps(sweep, chosen_point(run), tried), "threshold_sweep")
    table_under(sweep, "threshold_sweep")


def _quantiles(chosen: float) -> list[float]:
    return sorted({*(step / 100 for step in range(101)), chosen})


def _percent(share: float) -> str:
    return f"{100 * share:.10g}"


def _correlation(layers: pd.DataFrame) -> float:
    """Of both counts per layer; 0 where one of them is the same in every layer, as in the map."""
    if layers.n_selected.nunique() < 2 or layers.n_chosen.nunique() < 2:
        return 0.0
    return float(layers.n_selected.corr(layers.n_chosen))


title, choice = st.columns([3, 2], vertical_alignment="bottom")
title.title(
    "Thresholds",
    help="Adapted features see (visual energy above epsilon) and turned (decoder cosine among the "
    "lowest of the run): paper 4.2, A.4.",
)
run = choose_run(choice)
tried = choose_thresholds(run)
show_counts(run, *tried)
show_maps(run, tried)
