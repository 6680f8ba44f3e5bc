"""What people said of a feature's label, and the command by which one more says something.

The pages only read, as the role atlas_reader: verdicts are written by the command line.
"""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries


def show_reviews(run_id: int, layer: int, feature: int) -> None:
    """The newest verdict, which decides the label; all of them; how to add one."""
    reviews = queries.reviews(run_id, layer, feature)
    if not reviews.empty:
        _show_newest(reviews.iloc[0])
    with st.expander(f"Review ({len(reviews)} so far)"):
        if not reviews.empty:
            st.dataframe(
                reviews,
                hide_index=True,
                column_config={
                    "description": st.column_config.TextColumn("own words"),
                    "judged": st.column_config.TextColumn(
                        "label then", help="The label that the reviewer saw."
                    ),
                    "created_at": st.column_config.DatetimeColumn("when"),
                },
            )
        st.caption(
            "The newest verdict decides the label; earlier ones are kept. To add one, or many by "
            "spreadsheet (then reload this page):"
        )
        st.code(commands(run_id, layer, feature), language="sh")


def commands(run_id: int, layer: int, feature: int) -> str:
    """What to type."""
    review = f"feature-atlas review {layer}/{feature} --run {run_id}"
    return "\n".join(
        [
            f'{review} --verdict accept --note "..."',
            f'{review} --verdict edit --description "..."',
            f"{review} --verdict reject",
            f"feature-atlas review export labels.csv --run {run_id}",
            "feature-atlas review import labels.csv",
        ]
    )


def _show_newest(newest: pd.Series) -> None:
    with st.container(border=True):
        st.text(f"Reviewed {newest.created_at:%d %b %Y} by {newest.reviewer}: {newest.verdict}")
        st.text(" · ".join(text for text in (newest.description, newest.note) if pd.notna(text)))
