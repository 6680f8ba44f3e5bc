"""How each layer adapted: how many features turn, how far, how well it reconstructs, what it sees
(Figs 1, 5, 6, 7; 4.1, A.1 to A.3)."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.dictionary.by_chance import show_by_chance
from feature_atlas.dashboards.dictionary.layer_curves import (
    adapted_bars,
    adapted_cosines,
    cosine_spread,
    energy_curves,
    regime_cosines,
)
from feature_atlas.dashboards.dictionary.seeds import show_seeds
from feature_atlas.dashboards.dictionary.training_curves import (
    final_curve,
    final_values,
    training_curve,
)
from feature_atlas.dashboards.palette import draw
from feature_atlas.dashboards.part_choice import choose_part
from feature_atlas.dashboards.run_choice import choose_run
from feature_atlas.dashboards.table_under import table_under

ALL_LAYERS = "all layers"
OWN_TOKENS = "own tokens"


def show_adapted(run: pd.Series) -> None:
    """Fig. 7."""
    st.subheader(
        "Adapted features",
        help="Fig. 7. Adapted: visual energy above epsilon and cosine in the bottom share of the "
        "run. Beyond the null: turned further than refitting the base model does at as many "
        "firings. Beyond language: further than on the same questions without pictures. Band: the "
        "middle half of the adapted.",
    )
    counts, cosines = queries.adapted_by_layer(run.run_id), queries.adapted_cosines(run.run_id)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**How many**")
        draw(adapted_bars(counts, run.d_sae), "adapted_by_layer")
        table_under(counts, "adapted_by_layer")
    with right:
        st.markdown("**How far they turned, text regime**")
        draw(adapted_cosines(cosines), "adapted_cosines")
        table_under(cosines, "adapted_cosines")


def choose_regimes(known: list[str]) -> list[str]:
    """The regimes to draw of `known`, in their order."""
    chosen = st.pills(
        "Regimes",
        known,
        selection_mode="multi",
        default=known,
        key="regime",
        bind="query-params",
        help="Which tokens adapted the dictionary (3.2). Dashed: controls on text alone; refit, "
        "the base model on plain text, is how far training alone turns features; language, the "
        "same questions without pictures.",
    )
    return [regime for regime in known if regime in chosen]


def show_turning(run: pd.Series) -> None:
    """Fig. 5, and how features differ within one regime."""
    st.subheader(
        "How far all features turn",
        help="Fig. 5. Decoder direction after with before: 1 kept, 0 a new one. Features that "
        "never fired in training were never updated and stay at 1: the spread leaves them out.",
    )
    means = queries.mean_cosines(run.run_id)
    known = means.regime.unique().tolist()
    shown = means[means.regime.isin(choose_regimes(known))]
    left, right = st.columns(2, gap="large", vertical_alignment="bottom")
    with left:
        st.markdown("**Mean over all features**")
        draw(regime_cosines(shown), "cosine_by_regime")
        table_under(shown, "cosine_by_regime")
    with right:
        regime = st.selectbox(
            "Spread within the regime", known, key="spread", bind="query-params", width=220
        )
        quantiles = queries.cosine_quantiles(run.run_id, regime)
        draw(cosine_spread(quantiles, regime), "cosine_spread")
        table_under(quantiles, "cosine_spread")


def show_reconstruction(run: pd.Series) -> None:
    """Figs 1 and 6."""
    st.subheader(
        "How well they reconstruct",
        help="Figs 1 and 6. FVU: fraction of variance unexplained on held-out tokens; 0 is "
        "perfect, 1 no better than the mean. Band: from the best to the worst layer.",
    )
    curves = queries.fvu_curves(run.run_id)
    if curves.empty:
        st.info("No training curves: the stage `adapt` of `feature-atlas build` leaves them.")
        return
    regimes = choose_regimes(curves.regime.unique().tolist())
    layer, judged = _choose_curves(curves)
    shown = judged[judged.regime.isin(regimes)]
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**While training**")
        draw(
            training_curve(shown if layer == ALL_LAYERS else shown[shown.layer == int(layer)]),
            "training_curve",
        )
    with right:
        st.markdown("**At the end, by layer**")
        draw(final_curve(shown), "final_fvu")
    table_under(shown, "final_fvu")
    st.markdown("**Over layers, after training** (start: before it)")
    ends = final_values(curves)
    st.dataframe(
        ends[ends.index.isin(regimes)].reset_index(names="regime"),
        hide_index=True,
        column_config={
            name: st.column_config.NumberColumn(format="%.3f")
            for name in ("start", "end", "SD", "min", "max", "question", "image")
        },
        placeholder="",
    )


def _choose_curves(curves: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The layer to draw, and the evaluations on one kind of token."""
    with st.container(horizontal=True):
        layer = st.selectbox(
            "Layer",
            [ALL_LAYERS, *map(str, sorted(curves.layer.unique()))],
            key="layer_of_curve",
            bind="query-params",
            width=160,
        )
        role = st.selectbox(
            "Judged on",
            [OWN_TOKENS, *sorted(set(curves.role) - {"all"})],
            key="role",
            bind="query-params",
            width=200,
            help="Own: the kinds of token that the regime trains on; the others by their role.",
        )
    return layer, curves[curves.role == ("all" if role == OWN_TOKENS else role)]


def show_energies(run: pd.Series) -> None:
    """What a layer's features do on pictures and words."""
    st.subheader(
        "How much they see",
        help="Mean squared activation of the text-adapted dictionary, mean over all features of a "
        "layer (4.2, A.4). Where the text's energy falls without the picture, the layer carries "
        "what was seen.",
    )
    energies = queries.energies_by_layer(run.run_id)
    draw(energy_curves(energies), "energies_by_layer")
    table_under(energies, "energies_by_layer")


PARTS = {
    "adapted features": show_adapted,
    "all features": show_turning,
    "reconstruction": show_reconstruction,
    "seeing": show_energies,
    "over seeds": show_seeds,
    "by chance": show_by_chance,
}

title, choice = st.columns([3, 2], vertical_alignment="bottom")
title.title("Layers", help="How each layer's dictionary adapted (paper 4.1, A.1 to A.3).")
run = choose_run(choice)
PARTS[choose_part("What became of", PARTS, "layers_part")](run)
