"""A table of features before and after, each with a link to its page in either run."""

from typing import Any

import pandas as pd
import streamlit as st

from feature_atlas.dashboards.features.feature_table import page_of

NUMBER, TEXT = st.column_config.NumberColumn, st.column_config.TextColumn

PAIR = {
    "label": TEXT("description", width="medium", help="Before → after, where they differ."),
    "cosine_before": NUMBER("cosine before", format="%.3f", help="Decoder; 1: kept (4.2)."),
    "cosine_after": NUMBER("after", format="%.3f"),
    "visual_energy_before": NUMBER("E_v before", format="%.3g", help="Normalised units² (4.2)."),
    "visual_energy_after": NUMBER("after", format="%.3g"),
    "spatial_odds_ratio_before": NUMBER("spatial OR before", format="%.2f", help="Odds (4.3)."),
    "spatial_odds_ratio_after": NUMBER("after", format="%.2f"),
}


def pair_table(
    features: pd.DataFrame, runs: tuple[int, int], columns: dict[str, Any], key: str
) -> None:
    """Show `columns` of `features`, sortable, led by both links; says when the list is cut."""
    links = {
        side: [
            page_of(run, layer, feature)
            for layer, feature in zip(features.layer, features.feature, strict=True)
        ]
        for side, run in zip(("before", "after"), runs, strict=True)
    }
    where = {"layer": NUMBER("layer", width=56), "feature": NUMBER("feature", format="%d")}
    opens = {
        side: st.column_config.LinkColumn(
            side,
            display_text=":material/open_in_new:",
            width=56,
            help=f"The feature's page in the run {side}.",
        )
        for side in links
    }
    st.dataframe(
        features.assign(label=_both_labels(features), **links),
        hide_index=True,
        column_order=[*opens, *where, *columns],
        column_config=opens | where | columns,
        placeholder="",
        key=key,
    )


def _both_labels(features: pd.DataFrame) -> list[str | None]:
    return [
        _one_label(before, after)
        for before, after in zip(features.label_before, features.label_after, strict=True)
    ]


def _one_label(before: Any, after: Any) -> str | None:
    if pd.isna(before) and pd.isna(after):
        return None
    if before == after:
        return str(after)
    return " → ".join("none" if pd.isna(label) else str(label) for label in (before, after))
