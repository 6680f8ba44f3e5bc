"""What is in the atlas: how few features turned, see, and serve a skill (paper 4; Fig. 2)."""

from typing import Any

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.claims import show_claims
from feature_atlas.dashboards.facts import gate_in_words, show_facts
from feature_atlas.dashboards.features.feature_choice import survivors_of
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.features.funnel import funnel_chart
from feature_atlas.dashboards.features.scatter import (
    MAX_POINTS,
    N_BINS,
    chosen_box,
    energy_floor,
    half_bin,
    scatter,
)
from feature_atlas.dashboards.figures import FIGURES
from feature_atlas.dashboards.fold import fold
from feature_atlas.dashboards.palette import draw
from feature_atlas.dashboards.run_choice import choose_run

COLUMNS = {
    "layer": st.column_config.NumberColumn("layer", width="small"),
    "feature": st.column_config.NumberColumn("feature", width="small", format="%d"),
    "label": st.column_config.TextColumn(
        "description", width="large", help="The reviewer's word, else the best description (5.1)."
    ),
    "f1": st.column_config.NumberColumn(
        "F1", format="%.2f", help="How well the description predicts firing; 1: perfect."
    ),
    "spatial_odds_ratio": st.column_config.NumberColumn(
        "spatial OR",
        format="%.2f",
        help="Odds of firing per token, spatial over other questions; above 1: fires more (4.3).",
    ),
    "ocr_odds_ratio": st.column_config.NumberColumn(
        "OCR OR", format="%.2f", help="The same for questions about written text (A.6)."
    ),
    "ablation_relation": st.column_config.TextColumn("relation", help="Removed on statements of."),
    "delta_pp": st.column_config.NumberColumn(
        "Δ VSR, pp",
        format="%+.1f",
        help="Accuracy on statements of its relation, after removal minus before, percentage "
        "points; below 0: the removal hurts (5.3).",
    ),
    "cosine": st.column_config.NumberColumn(
        "cosine", format="%.3f", help="Decoder direction after with before; 0: a new one (4.2)."
    ),
    "visual_energy": st.column_config.NumberColumn(
        "E_v", format="%.3g", help="Mean squared activation, normalised units² (4.2, A.4)."
    ),
}

WAYS_ON = {
    "features/explore.py": "Which features are like this?",
    "features/shift.py": "Whom does a skill recruit?",
    "heads/heads.py": "Which heads drive features?",
    "ablation/ablation.py": "What breaks without them?",
    "dictionary/layers.py": "How did each layer adapt?",
    "features/thresholds.py": "What at other thresholds?",
    "runs/runs.py": "How was the run made?",
}
"""Pages about the whole run, each one question."""


def _forward(checks: pd.DataFrame) -> str:
    """How far the passes that everything was taken from are from the model's own."""
    if checks.empty:
        return "not checked"
    return f"the model's own, to {checks.difference.max():.1g} (at most {checks.bound.max():.1g})"


def show_headline(run: pd.Series) -> None:
    """What was studied; where every number comes from is on the page Runs."""
    show_facts(
        {
            "Vision-language model": run.vlm,
            "Base language model": run.base_name,
            "Base SAEs": f"{run.release}, {gate_in_words(run)}",
            "Features": f"{run.n_layers * run.d_sae:,} = {run.n_layers} layers × {run.d_sae:,}",
            "Forward pass": _forward(queries.forward_checks(run.run_id)),
            "Published": f"{run.published_at:%d %b %Y %H:%M} UTC",
            "Code": f"{run.code_version[:12]}{' + uncommitted changes' if run.dirty else ''}",
        }
    )


def show_funnel(run_id: int) -> None:
    """How many features pass each step, per skill."""
    st.subheader("From all features to a few", help="Paper 4.2, 4.3; A.6 for OCR.")
    steps = queries.funnel(run_id)
    for column, skill in zip(st.columns(2), steps.skill.unique(), strict=False):
        with column:
            draw(funnel_chart(steps, skill), f"funnel_{skill}")


def show_scatter(run: pd.Series, marked: pd.DataFrame) -> None:
    """All features by cosine and energy; a selection lists them."""
    st.subheader(
        "Turned and seeing",
        help="The paper's Fig. 2. Left: turned far from the base direction. Up: more energy on "
        "the question's tokens. Adapted features are the bottom quarter by cosine with E_v above "
        "epsilon. Hollow squares: spatial candidates; filled: they survive neutral prompts. "
        "Crosses: described or ablated.",
    )
    is_large = run.n_layers * run.d_sae > MAX_POINTS
    if is_large:
        cloud = queries.feature_bins(run.run_id, N_BINS)
    else:
        cloud = queries.feature_points(run.run_id)
    epsilon = run.config.get("selection", {}).get("epsilon")
    event = draw(
        scatter(cloud, marked, epsilon),
        "scatter",
        on_select="rerun",
        selection_mode=("points", "box"),
    )
    st.caption(
        "Click a point, or take the box above the chart and draw one, to list its features below. "
        "Features that never fire on a "
        "question (E_v = 0) lie on the lowest line."
        + (f" The clouds are counted in {N_BINS} × {N_BINS} bins." if is_large else "")
    )
    show_selection(run.run_id, event.selection, cloud)


def show_selection(run_id: int, selection: Any, cloud: pd.DataFrame) -> None:
    """The features inside what was clicked or drawn."""
    box = chosen_box(selection, energy_floor(cloud.visual_energy), half_bin(cloud))
    if box is None:
        return
    features = queries.features_between(run_id, *box)
    limit = " (the first ones by energy)" if len(features) == queries.MAX_ROWS else ""
    plural = "" if len(features) == 1 else "s"
    st.markdown(f"**{len(features):,} feature{plural} in the selection**{limit}")
    feature_table(_in_points(features), run_id, COLUMNS, height=300, key="selected")


def show_ways_on(run_id: int) -> None:
    """Links to the pages about the whole run."""
    with st.container(horizontal=True):
        for page, question in WAYS_ON.items():
            st.page_link(page, label=question, query_params={"run": str(run_id)})
        st.page_link(
            "runs/compare.py",
            label="What changed since the run before?",
            query_params={"b": str(run_id)},
        )


def show_survivors(run_id: int, marked: pd.DataFrame) -> None:
    """The features that passed every step, each with its link."""
    survivors = survivors_of(marked)
    st.subheader(
        f"{len(survivors):,} survivors",
        help="Adapted, fire more on a skill's questions, and fire on neutral prompts too: because "
        "of the picture, not of a word (4.3).",
    )
    if survivors.empty:
        st.info(
            "No candidate survived the neutral prompts in this run. Its thresholds are in "
            "configuration, on the page Runs; a run with more questions has more power."
        )
        return
    spatial_first = _in_points(survivors).sort_values(
        ["survives_spatial", "ablation_delta", "spatial_odds_ratio"],
        ascending=[False, True, False],
        na_position="last",
    )
    feature_table(spatial_first, run_id, COLUMNS, key="survivors")


def show_paper_figures(run: pd.Series) -> None:
    """Which figures of the paper this run can be drawn as, and how."""

    def show() -> None:
        st.markdown("One command draws them of this run, from SQL alone, as PNG or SVG:")
        st.code(f"feature-atlas figures {run.slug} --out docs/figures", language="bash")
        st.markdown("\n".join(f"- **{_figure_name(name)}**: {shows}" for name, shows, _ in FIGURES))

    fold("Figures of the paper", "figures", show)


def _figure_name(name: str) -> str:
    return name.replace("figure_", "Figure ")


def _in_points(features: pd.DataFrame) -> pd.DataFrame:
    return features.assign(delta_pp=100 * features.ablation_delta)


title, choice = st.columns([3, 2], vertical_alignment="bottom")
title.title("Feature atlas", help="How a language model learned to see, feature by feature.")

chosen_run = choose_run(choice)
marked_features = queries.marked_features(chosen_run.run_id)
show_headline(chosen_run)
show_funnel(chosen_run.run_id)
show_scatter(chosen_run, marked_features)
show_ways_on(chosen_run.run_id)
show_claims(chosen_run.run_id)
show_paper_figures(chosen_run)
show_survivors(chosen_run.run_id, marked_features)
