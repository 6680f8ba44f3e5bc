"""A table beside our own CSV button: without the one of its tool bar, which guards no formulas.

A spreadsheet computes a cell that begins with =; `models/notation/csv_text` writes none such.
"""

from typing import Any

import streamlit as st

STYLE = "<style>[class*=st-key-own_csv] [aria-label='Download as CSV'] { display: none }</style>"


def own_csv(name: str) -> Any:
    """Where such a table is put."""
    st.html(STYLE)
    return st.container(key=f"own_csv_{name}")
