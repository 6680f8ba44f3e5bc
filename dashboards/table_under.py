"""The numbers of a chart, folded below it: to read exactly, and to take along as CSV."""

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from feature_atlas.dashboards.fold import fold


def table_under(numbers: pd.DataFrame, chart: str, **options: Any) -> None:
    """What the chart of this key shows; the table's own tool bar saves it as CSV."""
    show = partial(st.dataframe, numbers, hide_index=True, placeholder="", **options)
    fold("Numbers", f"{chart}_numbers", show, icon=":material/table:")
