"""A table of features, each with a link to its own page."""

import hashlib
from typing import Any

import pandas as pd
import streamlit as st

from feature_atlas.dashboards.lists.add_to_list import show_adding
from feature_atlas.dashboards.page_address import page_address

LINK = "link"


def page_of(run_id: int, layer: int, feature: int) -> str:
    """Address of a feature's page."""
    return page_address("feature", run=run_id, layer=layer, feature=feature)


def with_links(features: pd.DataFrame, run_id: int) -> pd.DataFrame:
    """The same rows led by the address of each feature's page."""
    links = [
        page_of(run_id, layer, feature)
        for layer, feature in zip(features.layer, features.feature, strict=True)
    ]
    return features.assign(**{LINK: links})[[LINK, *features.columns]]


def feature_table(
    features: pd.DataFrame, run_id: int, columns: dict[str, Any], key: str, **options: Any
) -> pd.DataFrame:
    """Show `columns` (name to Streamlit column) of `features`, sortable, links first; rows that
    are selected can be put into a list, and are returned."""
    event = st.dataframe(
        with_links(features, run_id),
        hide_index=True,
        column_order=[LINK, *columns],
        column_config={
            LINK: st.column_config.LinkColumn(
                "open", display_text=":material/open_in_new:", width=56, help="The feature's page."
            ),
            **columns,
        },
        placeholder="",
        on_select="rerun",
        selection_mode="multi-row",
        key=rows_key(key, features),
        **options,
    )
    chosen = features.iloc[event.selection.rows]
    if len(chosen):
        show_adding(f"Add {len(chosen)} to a list", key, run_id, lambda: chosen)
    return chosen


def rows_key(key: str, features: pd.DataFrame) -> str:
    """A table's key that is another one for other rows: a selection goes by places, and would
    stay where other features have come."""
    places = features[["layer", "feature"]].to_numpy("int64").tobytes()
    return f"{key}_{hashlib.sha256(places).hexdigest()[:12]}"
