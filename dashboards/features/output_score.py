"""Whether the model says what one feature writes, once its direction is added (beside 5.1, 5.3)."""

import numpy as np
import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.facts import intervals

SETS = {"logits": "the tokens it makes likelier", "label": "the words of its label"}
NUMBER = st.column_config.NumberColumn


def show_output_score(run_id: int, layer: int, feature: int) -> None:
    """Both sets of tokens, beside nothing added and beside the directions of features like it."""
    st.subheader(
        "Said when added",
        help="The feature's direction is added to every text token of neutral prompts. Score: "
        "(1 - r / |V|) p, where p is the largest probability of one of the tokens and r how many "
        "tokens of the vocabulary are likelier; 1: the model says it, whatever it is asked. "
        "Chance is what features like it reach, added in the same length.",
    )
    found = queries.output_scores(run_id, layer, feature)
    if found.empty:
        st.caption(
            "Not added: the stage `output_score` does, if `output_score.n_pictures` in the "
            "configuration says about how many pictures."
        )
        return
    st.dataframe(
        _in_words(found),
        hide_index=True,
        column_order=[
            *("looked_for", "words", "output_score", "output_score_before"),
            *("output_score_control", "gain", "times", "interval", "says"),
        ],
        column_config={
            "looked_for": st.column_config.TextColumn("looked for"),
            "words": st.column_config.TextColumn(width="medium"),
            "output_score": NUMBER("score", format="%.3f"),
            "output_score_before": NUMBER("nothing added", format="%.3f"),
            "output_score_control": NUMBER(
                "others added", format="%.3f", help="Mean of matched features of the layer."
            ),
            "gain": st.column_config.TextColumn(
                "score beyond others", help="The score less that of the others, 95 % interval."
            ),
            "times": NUMBER(
                "probability times",
                format="%.3g",
                help="Of these tokens together, with the direction over without (geometric mean).",
            ),
            "interval": st.column_config.TextColumn(
                "times beyond others", help="The same over that of the others, 95 % interval."
            ),
            "says": st.column_config.TextColumn("verdict"),
        },
    )
    first = found.iloc[0]
    st.caption(
        f"Strength {first.alpha:g} mean activations, {first.n_prompts} neutral prompts, "
        f"{first.n_controls} matched features."
    )


def _in_words(found: pd.DataFrame) -> pd.DataFrame:
    rows = list(found.itertuples())
    times = {name: np.exp(found[name].astype(float)) for name in found if name.startswith("log_")}
    return found.assign(
        looked_for=[SETS.get(row.tokens_of, row.tokens_of) for row in rows],
        words=[", ".join(token.strip() for token in row.tokens) for row in rows],
        gain=intervals(found.output_score_gain_low, found.output_score_gain_high, "+.3f"),
        times=times["log_probability_delta"],
        interval=intervals(
            times["log_probability_gain_low"], times["log_probability_gain_high"], ".3g"
        ),
        says=[
            _verdict(row.log_probability_gain_low, row.log_probability_gain_high) for row in rows
        ],
    )


def _verdict(low: float, high: float) -> str:
    if pd.isna(low):
        return "no control"
    if low > 0:
        return "said more"
    return "said less" if high < 0 else "no more than others"
