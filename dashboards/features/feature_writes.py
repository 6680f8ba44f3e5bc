"""What one feature writes: the tokens it makes likelier, and the features beside it (4.2)."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.features.feature_table import feature_table
from feature_atlas.dashboards.features.output_score import show_output_score
from feature_atlas.dashboards.sql.open_in_sql import open_in_sql

NUMBER = st.column_config.NumberColumn
SIDES = {"top": "Makes likelier", "bottom": "Makes less likely"}


def show_what_it_writes(run: pd.Series, layer: int, feature: int) -> None:
    """Top and bottom logits beside the nearest features of its layer."""
    key = (run.run_id, layer, feature)
    tokens, near = st.columns(2, gap="large")
    with tokens:
        _show_tokens(queries.logit_effects(*key))
        _show_described(queries.descriptions(*key))
    with near:
        _show_near(queries.near_features(*key), key)
    show_output_score(*key)


def _show_tokens(effects: pd.DataFrame) -> None:
    st.subheader(
        "Tokens",
        help="Its decoder row through the final norm's gain and the unembedding, past all later "
        "layers (direct logit attribution). The later a layer, the more this is what it does.",
    )
    if effects.empty:
        st.info(
            "No tokens: the stage `logit_effect` of `feature-atlas build` has them of every "
            "feature that fires; runs of before have none."
        )
        return
    for column, (side, title) in zip(st.columns(2), SIDES.items(), strict=True):
        with column:
            st.markdown(f"**{title}**")
            st.dataframe(
                effects[effects.side == side],
                hide_index=True,
                column_order=["token", "effect"],
                column_config={
                    "token": st.column_config.TextColumn(width="small"),
                    "effect": NUMBER(
                        "logit",
                        format="%+.3g",
                        help="Added by a unit of activation, less the mean over all tokens, in a "
                        "residual of root mean square 1.",
                    ),
                },
            )


def _show_described(descriptions: pd.DataFrame) -> None:
    """What an explainer made of these tokens, and how far that is what the feature fires on."""
    for row in descriptions[descriptions.variant == "OUTPUT"].itertuples():
        st.text(f"Described from tokens alone: {row.description}")
        st.caption(
            f"F1 on what it fires on {row.f1:.2f}, another description's "
            f"{'not known' if pd.isna(row.shuffled_f1) else format(row.shuffled_f1, '.2f')}"
        )


def _show_near(near: pd.DataFrame, key: tuple[int, int, int]) -> None:
    st.subheader(
        "Nearest features",
        help="Of the same layer, by the cosine of their adapted decoder rows: they write nearly "
        "the same direction.",
    )
    if near.empty:
        st.info("None: the stage `nearest_feature` of `feature-atlas build` finds them.")
        return
    feature_table(
        near,
        key[0],
        {
            "feature": NUMBER(format="%d"),
            "cosine": NUMBER(format="%.3f", help="Of both decoder rows."),
            "label": st.column_config.TextColumn(width="medium"),
            "is_adapted": st.column_config.CheckboxColumn("adapted"),
            "own_cosine": NUMBER("turned", format="%.3f", help="Its cosine with its own base."),
        },
        key="near",
    )
    open_in_sql(
        "More of them in SQL", "near_sql", near_sql(*key),
        "Also the features that count this one among their own eight; `feature-atlas query` runs "
        "it.",
    )  # fmt: skip


def near_sql(run_id: int, layer: int, feature: int) -> str:
    """The features within a cone around this one."""
    return (
        "SELECT near.cosine, layer, feature, label\n"
        f"FROM atlas.near({layer}, {feature}, cosine_at_least => 0.1, n => 20, run => {run_id})"
        " AS near\n"
        "JOIN atlas.feature_all_runs USING (layer, feature)\n"
        f"WHERE run_id = {run_id} ORDER BY near.cosine DESC"
    )
