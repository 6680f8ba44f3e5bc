"""A table of heads, each with a link to its own page."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards.page_address import page_address

OPEN = st.column_config.LinkColumn(
    "open", display_text=":material/open_in_new:", width=56, help="The head's page."
)
NUMBER = st.column_config.NumberColumn
N_STRONGEST = 10


def head_link(run_id: int, head_layer: int, head: int) -> str:
    """The address of a head's page."""
    return page_address("heads", run=run_id, head_layer=head_layer, head=head)


def head_table(recurrence: pd.DataFrame, run_id: int) -> None:
    """Rows of `queries.head_recurrence`, one a head."""
    rows = recurrence.assign(
        link=[head_link(run_id, x.head_layer, x.head) for x in recurrence.itertuples()],
        name=[f"L{x.head_layer}H{x.head}" for x in recurrence.itertuples()],
    )
    st.dataframe(
        rows,
        hide_index=True,
        column_order=["link", "name", "n_in_top_five", "n_features", "share"],
        column_config={
            "link": OPEN,
            "name": st.column_config.TextColumn("head"),
            "n_in_top_five": NUMBER("in the top five of", help="Features."),
            "n_features": NUMBER("traced"),
            "share": NUMBER("share", format="percent"),
        },
        key="recurring_heads",
    )


def strongest_heads(totals: pd.DataFrame, column: str, run_id: int) -> None:
    """The first heads of a map of `queries.head_totals`, by the mean of both methods."""
    wide = totals.dropna(subset=column).pivot(
        index=["head_layer", "head"], columns="method", values=column
    )
    first = wide.loc[wide.mean(axis=1).nlargest(N_STRONGEST).index].reset_index()
    st.dataframe(
        first.assign(
            link=[head_link(run_id, x.head_layer, x.head) for x in first.itertuples()],
            name=[f"L{x.head_layer}H{x.head}" for x in first.itertuples()],
        ),
        hide_index=True,
        column_order=["link", "name", *wide.columns],
        column_config={
            "link": OPEN,
            "name": st.column_config.TextColumn("head"),
            **{method: NUMBER(f"method {method}", format="%.3g") for method in wide.columns},
        },
        key="strongest_heads",
    )
