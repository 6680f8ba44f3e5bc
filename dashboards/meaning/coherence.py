"""Whether the samples of one feature belong together, whatever is said of them (beside 5.1)."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.facts import intervals

CHANCE = 0.2
"""One of five."""
JUDGES = {
    "words": "equal words",
    "embedding": "an embedding model",
    "openai": "a language model",
}


def show_coherence(run_id: int, layer: int, feature: int) -> None:
    """How often each judge finds the sample of another feature among four of this one."""
    st.subheader(
        "Coherence",
        help="Five samples are shown with their firing tokens, four of this feature and one of "
        "another of its layer that fires about as often. The more often that intruder is found, "
        "the more the samples belong together, described or not. 95 % interval in brackets.",
    )
    found = queries.intruders(run_id, layer, feature)
    if found.empty:
        st.caption(
            "Not tried with intruders: the stage `intruder` does, if `intruder.n_trials` in the "
            "configuration says how often."
        )
        return
    st.dataframe(
        _in_words(found),
        hide_index=True,
        column_order=["judged_by", "found", "accuracy", "interval", "chance_p", "says", "n_failed"],
        column_config={
            "judged_by": st.column_config.TextColumn("judge"),
            "found": st.column_config.TextColumn("intruders found"),
            "accuracy": st.column_config.ProgressColumn(
                "share", format="percent", max_value=1, help="Chance finds 20 %."
            ),
            "interval": st.column_config.TextColumn("95 % interval"),
            "chance_p": st.column_config.NumberColumn(
                "p", format="%.2g", help="Of finding as many by pointing at random."
            ),
            "says": st.column_config.TextColumn(
                "verdict", help="Coherent: the whole interval lies above chance."
            ),
            "n_failed": st.column_config.NumberColumn(
                "no answer",
                format="%d",
                help="Answers that could not be read; they count as wrong.",
            ),
        },
    )


def _in_words(found: pd.DataFrame) -> pd.DataFrame:
    rows = list(found.itertuples())
    return found.assign(
        judged_by=[f"{JUDGES.get(row.judge, row.judge)} · {row.model}" for row in rows],
        found=[f"{row.n_right} of {row.n_trials}" for row in rows],
        interval=intervals(found.accuracy_low, found.accuracy_high, ".2f"),
        says=["coherent" if row.accuracy_low > CHANCE else "no better than chance" for row in rows],
    )
