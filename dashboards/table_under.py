"""The numbers of a chart, folded below it: to read exactly, and to take along as CSV."""

import pandas as pd
import streamlit as st


def table_under(numbers: pd.DataFrame) -> None:
    """What the chart above shows; the table's own tool bar saves it as CSV."""
    with st.expander("Numbers", icon=":material/table:"):
        st.dataframe(numbers, hide_index=True, placeholder="")
