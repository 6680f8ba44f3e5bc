"""Which heads drive one feature."""

import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.heads.head_map import PARTS, head_map, top_heads
from feature_atlas.dashboards.palette import draw

NUMBER = st.column_config.NumberColumn
N_TOP = 5
EVIDENCE = (
    "causal: swapping the head's queries and keys for real changed the feature as estimated, "
    "Benjamini-Hochberg within the feature. not confirmed: it did not. screened: not swapped."
)


def show_heads(run_id: int, layer: int, feature: int) -> None:
    """Attribution per head by both methods, and the strongest heads."""
    st.subheader(
        "Heads that drive it",
        help="Attribution patching with the picture replaced by the mean image (5.2, C): a first-"
        "order estimate, averaged over top samples. Red: the head drives the feature. Where the "
        "model is linear, A = -B.",
    )
    heads = queries.head_attributions(run_id, layer, feature)
    if heads.empty:
        st.info(
            "Not traced: the stage `head_attribution` takes survivors with the highest odds ratio; "
            "raise `head_attribution.max_features` in the configuration to have more."
        )
        return
    part = st.segmented_control(
        "Through", list(PARTS), default="score", format_func=PARTS.get, required=True, key="part"
    )
    left, right = st.columns([3, 2])
    with left:
        draw(head_map(heads, part), "head_map")
    with right:
        st.markdown(f"**Top {N_TOP} heads of each method**")
        st.dataframe(
            top_heads(heads, N_TOP),
            hide_index=True,
            column_order=[
                *("name", "rank_A", "score_A", "standard_error_A", "evidence_A"),
                *("rank_B", "score_B", "standard_error_B", "evidence_B", "in_both"),
            ],
            column_config={
                "name": st.column_config.TextColumn("head", help="Layer and query head, 0-based."),
                "rank_A": NUMBER("A #", format="%d", width=44),
                "score_A": NUMBER("A score", format="%.3g", help="q + k, raw residual units."),
                "standard_error_A": NUMBER("± se", format="%.1g", help="Over samples."),
                "rank_B": NUMBER("B #", format="%d", width=44),
                "score_B": NUMBER("B score", format="%.3g"),
                "standard_error_B": NUMBER("± se", format="%.1g"),
                "evidence_A": st.column_config.TextColumn("A evidence", help=EVIDENCE),
                "evidence_B": st.column_config.TextColumn("B evidence", help=EVIDENCE),
                "in_both": st.column_config.CheckboxColumn(
                    "both", help=f"Among the top {N_TOP} of both methods."
                ),
            },
        )
        st.caption(f"Means over {heads.n_samples.max()} top samples.")
