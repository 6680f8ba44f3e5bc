"""Names with their values, side by side; both are escaped, so any text may come."""

from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd
import streamlit as st

_CELL = "padding:0.1rem 2rem 0.5rem 0;min-width:7rem;"
_NAME = "font-size:0.8rem;color:#6b7178;"
_VALUE = "font-size:1rem;font-weight:600;margin:0;overflow-wrap:anywhere;"


def show_facts(facts: Mapping[str, object]) -> None:
    """A row of facts that wraps on narrow screens."""
    cells = [
        f'<div style="{_CELL}"><dt style="{_NAME}">{escape(name)}</dt>'
        f'<dd style="{_VALUE}">{escape(str(value))}</dd></div>'
        for name, value in facts.items()
    ]
    st.html(f'<dl style="display:flex;flex-wrap:wrap;margin:0;padding:0">{"".join(cells)}</dl>')


def gate_in_words(run: pd.Series) -> str:
    """TopK with its k; thresholds with what became of them in adaptation."""
    name = str(run.gate).replace("_", " ")
    if not pd.isna(run.k):
        return f"{name} k = {int(run.k)}"
    trained = run.config.get("adapt", {}).get("thresholds", "frozen")
    return f"{name} ({trained.replace('_', ' ')} in adaptation)"


def number(value: Any, form: str, unit: str = "") -> str:
    """A number of the data in words; a dash where it was not measured."""
    return "–" if pd.isna(value) else f"{value:{form}}{unit}"


def intervals(low: pd.Series, high: pd.Series, form: str, times: float = 1) -> list[str]:
    """Such as [0.79, 0.83]; nothing where it was not measured."""
    return [
        "" if pd.isna(start) else f"[{times * start:{form}}, {times * end:{form}}]"
        for start, end in zip(low, high, strict=True)
    ]
