"""The paper, restated: which of its claims hold in a run, by which number."""

import pandas as pd
import streamlit as st

from feature_atlas.dashboards import queries
from feature_atlas.dashboards.facts import show_facts
from feature_atlas.dashboards.page_address import page_address

TEXT, NUMBER = st.column_config.TextColumn, st.column_config.NumberColumn

VERDICTS = ("holds", "holds partly", "not shown", "refuted in this run", "not measured")

COLUMNS = {
    "rows": st.column_config.LinkColumn(
        "rows", display_text=":material/terminal:", width=56, help="The rows behind it, in SQL."
    ),
    "claim_no": NUMBER("no", width=40),
    "section": TEXT("section", width=110),
    "says": TEXT("the paper's claim", width=330, help="In our words."),
    "verdict": TEXT("verdict", width=130),
    "value": NUMBER("here", format="%.3g", width=70),
    "low": NUMBER("from", format="%.3g", width=70, help="Its 95 % interval."),
    "high": NUMBER("to", format="%.3g", width=70),
    "claimed": TEXT("claimed", width=130, help="Where the number lies if the claim is right."),
    "measured": TEXT("the number", width=300),
    "paper": TEXT("the paper", width=220),
    "controls": TEXT("parts and controls", width=400, help="Click twice to read all."),
}


def show_claims(run_id: int) -> None:
    """Every claim with its verdict; numbers in points are fractions here, as in SQL."""
    st.subheader(
        "The paper's claims in this run",
        help="Holds: the number of the claim and those of its parts and controls have their whole "
        "95 % interval in the claimed range. Partly: that of the claim alone has. Refuted in this "
        "run: its whole interval lies outside. Not shown: it reaches over the end.",
    )
    claims = queries.claims(run_id)
    n = claims.verdict.value_counts()
    show_facts({verdict: n.get(verdict, 0) for verdict in VERDICTS})
    st.dataframe(
        claims.assign(rows=_addresses(claims.saved_query)),
        hide_index=True,
        column_order=list(COLUMNS),
        column_config=COLUMNS,
        row_height=66,  # words break into lines in rows of more than 4 rem
        height=600,
        placeholder="",
    )


def _addresses(saved: pd.Series) -> list[str]:
    return [page_address("sql", saved=slug) for slug in saved]
