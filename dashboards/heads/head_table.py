"""A table of heads, each with a link to its own page."""

from urllib.parse import urlencode

import pandas as pd
import streamlit as st

NUMBER = st.column_config.NumberColumn


def head_table(recurrence: pd.DataFrame, run_id: int) -> None:
    """Rows of `queries.head_recurrence`, one a head."""
    rows = recurrence.assign(
        link=[
            f"/heads?{urlencode({'run': run_id, 'head_layer': x.head_layer, 'head': x.head})}"
            for x in recurrence.itertuples()
        ],
        name=[f"L{x.head_layer}H{x.head}" for x in recurrence.itertuples()],
    )
    st.dataframe(
        rows,
        hide_index=True,
        column_order=["link", "name", "n_in_top_five", "n_features", "share"],
        column_config={
            "link": st.column_config.LinkColumn(
                "open", display_text=":material/open_in_new:", width=56, help="The head's page."
            ),
            "name": st.column_config.TextColumn("head"),
            "n_in_top_five": NUMBER("in the top five of", help="Features."),
            "n_features": NUMBER("traced"),
            "share": NUMBER("share", format="percent"),
        },
        key="recurring_heads",
    )
