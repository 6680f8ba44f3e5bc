"""What took the picture's place while heads were looked at, where a run has more than one thing."""

import streamlit as st

from feature_atlas.dashboards import queries

NAMES = {
    "mean": "mean picture",
    "global_mean": "one mean for all patches",
    "resample": "any other picture",
    "opposite": "picture with the opposite answer",
}


def choose_corruption(run_id: int) -> str:
    """That of the address, or the first; nothing is shown where there is no choice."""
    found = queries.corruptions(run_id)
    if len(found) < 2:
        return "mean" if found.empty else str(found.corruption.iloc[0])
    counts = found.set_index("corruption").n_features
    return str(
        st.segmented_control(
            "The picture gives way to",
            list(found.corruption),
            default=found.corruption.iloc[0],
            format_func=NAMES.get,
            required=True,
            key="corruption",
            bind="query-params",
            help="What the corrupt run sees (5.2). The paper: the mean embedding over many "
            "pictures, which is like no picture. A picture with the opposite answer is one, and "
            "changes what was asked about. Features traced: "
            + ", ".join(f"{NAMES[name]} {n:,}" for name, n in counts.items())
            + ".",
        )
    )
