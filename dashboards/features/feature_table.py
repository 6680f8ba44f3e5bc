"""A table of features, each with a link to its own page."""

from typing import Any
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

LINK = "link"


def page_of(run_id: int, layer: int, feature: int) -> str:
    """Address of a feature's page."""
    return f"/feature?{urlencode({'run': run_id, 'layer': layer, 'feature': feature})}"


def with_links(features: pd.DataFrame, run_id: int) -> pd.DataFrame:
    """The same rows led by the address of each feature's page."""
    links = [
        page_of(run_id, layer, feature)
        for layer, feature in zip(features.layer, features.feature, strict=True)
    ]
    return features.assign(**{LINK: links})[[LINK, *features.columns]]


def feature_table(
    features: pd.DataFrame, run_id: int, columns: dict[str, Any], **options: Any
) -> None:
    """Show `columns` (name to Streamlit column) of `features`, sortable, links first."""
    st.dataframe(
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
        **options,
    )
