"""How well estimates foretell real swaps, feature by feature (5.2, C)."""

import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.page_address import page_address
from feature_atlas.dashboards.table_under import table_under

TWO_DIGITS = st.column_config.NumberColumn(format="%.2f")
SHOWN = {
    "link": st.column_config.LinkColumn("open", display_text=":material/open_in_new:", width=56),
    "layer": "layer",
    "feature": "feature",
    "label": "label",
    "estimate": "best estimate",
    "spearman": TWO_DIGITS,
    "spearman_low": TWO_DIGITS,
    "spearman_high": TWO_DIGITS,
    "top_overlap": TWO_DIGITS,
    "top_overlap_by_chance": TWO_DIGITS,
    "n_passes": "passes",
    "n_heads": "heads",
}


def show_feature_agreement(run_id: int, corruption: str, part: str) -> None:
    """Each feature's best estimate, and all of them to unfold."""
    rows = queries.feature_agreement(run_id, corruption, part)
    if rows.empty:
        return
    st.markdown(
        "**Of each feature**, the estimate that agrees best",
        help="Intervals over the feature's samples, drawn anew. All estimates are under Numbers.",
    )
    best = rows.drop_duplicates(["layer", "feature"])
    places = zip(best.layer, best.feature, strict=True)
    links = [page_address("feature", run=run_id, layer=at, feature=f) for at, f in places]
    st.dataframe(
        best.assign(link=links),
        hide_index=True,
        column_order=list(SHOWN),
        column_config=SHOWN,
        key="feature_agreement",
        placeholder="",
    )
    table_under(rows, "feature_agreement")
