"""What people said of a feature's label, and how to say something: here or by command."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.facts import intervals
from feature_atlas.dashboards.meaning.review_form import show_review_form


def show_reviews(run_id: int, layer: int, feature: int, label: str | None) -> None:
    """All verdicts, the newest first; a form for one more."""
    st.subheader(
        "Reviews",
        help="The newest verdict decides the label; earlier ones are kept, and those of older runs "
        "stay with their runs.",
    )
    reviews = queries.reviews(run_id, layer, feature)
    if not reviews.empty:
        _show_all(reviews)
    _show_agreement(queries.review_agreement(run_id))
    show_review_form(run_id, layer, feature, label)
    st.caption("The same by command, and many by spreadsheet:")
    st.code(commands(run_id, layer, feature), language="sh")


def commands(run_id: int, layer: int, feature: int) -> str:
    """What to type."""
    review = f"feature-atlas review {layer}/{feature} --run {run_id}"
    return "\n".join(
        [
            f'{review} --verdict edit --description "..." --note "..."',
            f"feature-atlas review export labels.csv --run {run_id}",
            f"feature-atlas review sheet sheet.csv --run {run_id}  # 60 of all kinds, drawn",
            "feature-atlas review import labels.csv",
        ]
    )


def _show_all(reviews: pd.DataFrame) -> None:
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
        placeholder="",
    )


def _show_agreement(agreement: pd.DataFrame) -> None:
    """Of the whole run: whether two people who see the same label say the same of it."""
    if agreement.empty:
        return
    st.markdown("**How far the reviewers of this run agree**")
    st.dataframe(
        agreement.assign(
            reviewer=agreement.reviewer.fillna("all pairs"),
            interval=intervals(agreement.kappa_low, agreement.kappa_high, ".2f"),
        ),
        hide_index=True,
        column_order=[
            *("reviewer", "other_reviewer", "n_features", "kappa", "interval"),
            *("share_same", "share_by_chance"),
        ],
        column_config={
            "other_reviewer": st.column_config.TextColumn("and"),
            "n_features": st.column_config.NumberColumn(
                "features", help="Of which both judged the same words."
            ),
            "kappa": st.column_config.NumberColumn(
                format="%.2f", help="Cohen's. 1: always the same verdict, 0: as by chance."
            ),
            "interval": st.column_config.TextColumn("95 % interval"),
            "share_same": st.column_config.NumberColumn("same verdict", format="percent"),
            "share_by_chance": st.column_config.NumberColumn("by chance", format="percent"),
        },
        placeholder="",
    )
