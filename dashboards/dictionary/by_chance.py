"""Every score beside what a dictionary of random directions gets in the same stages."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.facts import intervals, number

TEXT = st.column_config.TextColumn


def show_by_chance(run: pd.Series) -> None:
    """A row per score."""
    st.subheader(
        "By chance",
        help="Random directions in the place of the trained ones, same gate, as many features "
        "firing, nothing trained, sent through the same stages (regime frozen_random). Beyond "
        "chance: the two intervals lie apart, whichever is higher. A score that is as by chance "
        "says nothing of what was trained.",
    )
    scores = queries.chance_scores(run.run_id)
    if scores.empty:
        st.info(
            "Not measured: name `frozen_random` in `adapt.regimes` and build again with "
            "`feature-atlas build`, to have what every score is by chance."
        )
        return
    st.dataframe(
        scores.assign(
            here=_with_interval(scores, "mean", "low", "high"),
            chance=_with_interval(scores, "random_mean", "random_low", "random_high"),
            spread=intervals(scores.p5, scores.p95, ".3g"),
            random_spread=intervals(scores.random_p5, scores.random_p95, ".3g"),
            verdict=[_verdict(found) for found in scores.is_beyond_chance],
        ),
        hide_index=True,
        height="content",
        column_order=[
            *("score", "verdict", "here", "chance", "n", "n_random", "spread", "random_spread")
        ],
        column_config={
            "here": TEXT("mean here", help="Of the run's features, with its 95 % interval."),
            "n": st.column_config.NumberColumn("features", format="localized"),
            "chance": TEXT("by chance", help="Of random features, with its 95 % interval."),
            "n_random": st.column_config.NumberColumn("random features", format="localized"),
            "spread": TEXT("nine tenths here", help="Of the run's features; 5 % lie to each side."),
            "random_spread": TEXT(
                "nine tenths by chance", help="A single feature above their end beats chance."
            ),
            "verdict": TEXT("here is", help="Whether the intervals lie apart."),
        },
    )


def _with_interval(scores: pd.DataFrame, *columns: str) -> list[str]:
    """Such as 0.81 [0.79, 0.83]."""
    return [
        "–" if pd.isna(mean) else f"{mean:.3g} [{number(low, '.3g')}, {number(high, '.3g')}]"
        for mean, low, high in scores[list(columns)].itertuples(index=False)
    ]


def _verdict(is_beyond: object) -> str:
    if pd.isna(is_beyond):
        return "not comparable"
    return "beyond chance" if is_beyond else "as by chance"
