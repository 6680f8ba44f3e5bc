"""What one feature writes: the tokens it makes likelier, and the features beside it (4.2)."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.features.feature_table import feature_table

NUMBER = st.column_config.NumberColumn
SIDES = {"top": "Makes likelier", "bottom": "Makes less likely"}


def show_what_it_writes(run: pd.Series, layer: int, feature: int) -> None:
    """Top and bottom logits beside the nearest features of its layer."""
    key = (run.run_id, layer, feature)
    tokens, near = st.columns(2, gap="large")
    with tokens:
        _show_tokens(queries.logit_effects(*key))
    with near:
        _show_near(queries.near_features(*key), run.run_id)


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


def _show_near(near: pd.DataFrame, run_id: int) -> None:
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
        run_id,
        {
            "feature": NUMBER(format="%d"),
            "cosine": NUMBER(format="%.3f", help="Of both decoder rows."),
            "label": st.column_config.TextColumn(width="medium"),
            "is_adapted": st.column_config.CheckboxColumn("adapted"),
            "own_cosine": NUMBER("turned", format="%.3f", help="Its cosine with its own base."),
        },
        key="near",
    )
