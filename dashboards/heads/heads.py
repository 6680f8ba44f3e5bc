"""Which heads drive the features of a run, and one of them by deep link `?head_layer=&head=`
(Figs 4, 12 to 14; 5.2, C)."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.heads.corruption_choice import choose_corruption
from feature_atlas.dashboards.heads.feature_agreement import show_feature_agreement
from feature_atlas.dashboards.heads.head_table import head_table, strongest_heads
from feature_atlas.dashboards.heads.one_head import show_head
from feature_atlas.dashboards.heads.run_charts import (
    PARTS,
    SCOPES,
    SHOWN,
    agreement_chart,
    by_corruption,
    layer_curve,
    recurrence_map,
    run_map,
)
from feature_atlas.dashboards.palette import draw
from feature_atlas.dashboards.part_choice import choose_part
from feature_atlas.dashboards.run_choice import choose_run
from feature_atlas.dashboards.table_under import table_under

EVERY = "all"
N_RECURRING = 16


def choose_head(totals: pd.DataFrame) -> tuple[int, int] | None:
    """The head of the address; none: the page is about all of them."""
    layers = [str(layer) for layer in sorted(totals.head_layer.unique())]
    heads = [str(head) for head in sorted(totals["head"].unique())]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layer = st.selectbox(
            "Layer of the head",
            [EVERY, *layers],
            key="head_layer",
            bind="query-params",
            width=160,
            help="Decoder layer, 0-based. With a head of it the page is about that one.",
        )
        head = st.selectbox("Head", [EVERY, *heads], key="head", bind="query-params", width=130)
    if layer == EVERY or head == EVERY:
        return None
    return int(layer), int(head)


def show_maps_of_run(run_id: int, corruption: str) -> None:
    """Figs 12 and 13."""
    st.subheader(
        "Heads of the run",
        help="Figs 12 and 13, over all traced features. Scores are turned so that above 0, red, "
        "drives features, whatever the method. Score: attribution patching, first order; QK fix: "
        "with the softmax computed anew; exact patch: queries and keys swapped for real, where "
        "they were; causal: such a swap changed the feature as estimated.",
    )
    shown = st.segmented_control(
        "Map of", list(SHOWN), default="score", required=True, key="map", bind="query-params"
    )
    totals = queries.head_totals(run_id, corruption)
    column, meaning = SHOWN[shown]
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown(f"**By head: {meaning}**")
        if totals[column].notna().any():
            draw(run_map(totals, shown), "head_totals")
        else:
            st.info("Not in this run: the stages `head_attribution` and `exact_patch` leave it.")
    with right:
        st.markdown("**By layer: sum of the scores of its heads**")
        draw(layer_curve(queries.head_curves(run_id, corruption)), "head_curve")
        if totals[column].notna().any():
            st.markdown("**The first of the map**")
            strongest_heads(totals, column, run_id)
    table_under(totals, "head_totals")


def show_recurrence(run_id: int, corruption: str) -> None:
    """Fig. 4: the same heads for related relations."""
    st.subheader(
        "Heads that recur",
        help="Fig. 4. Of the features whose statements have a relation: how many have the head "
        "among their first five. The heads that are so for most features come first.",
    )
    method = st.segmented_control(
        "Method", ["B", "A"], default="B", required=True, key="method", bind="query-params"
    )
    recurrence = queries.head_recurrence(run_id, method, N_RECURRING, corruption)
    if recurrence.empty:
        st.info("No head drives any traced feature by this method.")
        return
    left, right = st.columns([3, 2], gap="large")
    with left:
        draw(recurrence_map(recurrence), "head_recurrence")
    with right:
        head_table(recurrence[recurrence.grouped_by == "all"], run_id)
    table_under(recurrence, "head_recurrence")


def show_agreement(run_id: int, corruption: str) -> None:
    """How far the estimates may be believed."""
    st.subheader(
        "Estimate against the real swap",
        help="All heads of some features were swapped for real. Within features: mean over "
        "features of what holds among the heads of one, which is what a ranking is for, with 95 % "
        "intervals over samples drawn anew. Within layers: likewise of the features of a layer, so "
        "that its size of effects does not count. Top ten: of a feature's ten strongest heads by "
        "the swap, how many are so by the estimate. Overlays show the heads of the estimate that "
        "agrees best within features.",
    )
    agreement = queries.attribution_agreement(run_id)
    if agreement.empty:
        st.info("Nothing to compare: the stage `exact_patch` swaps heads for real.")
        return
    of_one = agreement[agreement.corruption == corruption]
    if of_one.empty:
        st.info("Under this corruption no feature had every head swapped for real.")
        return
    parts = [part for part in PARTS if (of_one.part == part).any()]
    scopes = [name for name, scope in SCOPES.items() if (of_one.scope == scope).any()]
    with st.container(horizontal=True):
        part = st.segmented_control(
            "Swapped", parts, default=parts[0], format_func=PARTS.get, required=True,
            key="swapped", bind="query-params",
        )  # fmt: skip
        scope = st.segmented_control(
            "Over", scopes, default=scopes[0], required=True, key="over", bind="query-params"
        )
    shown = of_one[(of_one.scope == SCOPES[scope]) & (of_one.part == part)]
    draw(agreement_chart(shown), "agreement")
    if agreement.corruption.nunique() > 1:
        st.markdown("**Under each corruption**")
        of_all = agreement[(agreement.scope == SCOPES[scope]) & (agreement.part == part)]
        compared = by_corruption(of_all)
        two_digits = st.column_config.NumberColumn(format="%.2f")
        st.dataframe(
            compared,
            hide_index=True,
            width="content",
            column_config=dict.fromkeys(compared.columns[1:], two_digits),
            key="by_corruption",
        )
    table_under(agreement, "agreement")
    show_feature_agreement(run_id, corruption, part)


QUESTIONS = {
    "map of heads": show_maps_of_run,
    "heads that recur": show_recurrence,
    "estimate and real swap": show_agreement,
}

title, choice = st.columns([3, 2], vertical_alignment="bottom")
run = choose_run(choice)
corruption = choose_corruption(run.run_id)
totals = queries.head_totals(run.run_id, corruption)
if totals.empty:
    title.title("Heads")
    st.info(
        "No feature of this run was traced to heads. The stage `head_attribution` of "
        "`feature-atlas build` takes survivors: none survived, or the run was built without it."
    )
    st.stop()
chosen = choose_head(totals)
if chosen:
    title.title(f"Head L{chosen[0]}H{chosen[1]}", help="Layer and query head, 0-based (5.2, C).")
    show_head(run.run_id, *chosen, corruption)
else:
    title.title("Heads", help="Which heads drive the features of this run (paper 5.2, C).")
    QUESTIONS[choose_part("Over the run", QUESTIONS, "heads_part")](run.run_id, corruption)
