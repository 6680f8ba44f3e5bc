"""What took the picture's place while heads were looked at, where a run has more than one thing."""

import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.addressed import addressed
from feature_atlas.dashboards.run_choice import quoted

NAMES = {
    "mean": "the mean picture",
    "global_mean": "one mean for all patches",
    "resample": "any other picture",
    "opposite": "a picture with the opposite answer",
}


def choose_corruption(run_id: int) -> str:
    """That of the address, or the first; nothing is shown where there is no choice."""
    traced = dict(queries.corruptions(run_id).itertuples(index=False))
    asked = st.query_params.get("corruption")
    if asked and asked not in traced:
        st.error(
            f"The address asks for corruption {quoted(asked)}, under which this run traced no head."
        )
    if len(traced) < 2:
        return next(iter(traced), "mean")
    return addressed(
        "The picture gives way to",
        list(traced),
        "corruption",
        lambda name: f"{NAMES[name]} ({traced[name]:,} features)",
        help="What the corrupt run sees (5.2), and how many features were traced so. The paper's "
        "mean embedding over many pictures is like no picture; one with the opposite answer is a "
        "picture, and changes what was asked about.",
        width=380,
    )
