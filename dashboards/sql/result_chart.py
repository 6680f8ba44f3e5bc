"""A simple chart of a result: points or a line over a number, bars over words."""

import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import streamlit as st

from feature_atlas.dashboards.addressed import addressed
from feature_atlas.dashboards.palette import SPATIAL, draw, plain

MAX_POINTS, MAX_BARS = 5_000, 60
FORMS = ("none", "points", "line", "bars")


def show_chart(table: pa.Table) -> None:
    """Asks for its form and axes, which the address keeps."""
    numbers = [field.name for field in table.schema if _is_number(field.type)]
    if not numbers or table.num_rows < 2:
        return
    with st.container(horizontal=True):
        form = addressed("Chart", FORMS, "chart", str, width=140)
        if form == "none":
            return
        across = addressed("Across", table.column_names, "across", str, width=220)
        first = next((n for n, name in enumerate(numbers) if name != across), 0)
        up = addressed("Up", numbers, "up", str, default=first, width=220)
    rows = table.select(list(dict.fromkeys((across, up)))).to_pandas().dropna()
    limit = MAX_BARS if form == "bars" else MAX_POINTS
    draw(result_chart(rows.head(limit), across, up, form), "answer")
    if form == "bars" and rows[across].head(limit).duplicated().any():
        st.caption("Bars of the same name stand on one another.")
    if len(rows) > limit:
        st.caption(f"The first {limit:,} of {len(rows):,} rows.")


def result_chart(rows: pd.DataFrame, across: str, up: str, form: str) -> go.Figure:
    """The chart, in the order of the rows."""
    x = rows[across]
    if not pd.api.types.is_numeric_dtype(x) and not pd.api.types.is_datetime64_any_dtype(x):
        x = x.astype(str).map(plain)
    hover = f"{plain(across)} %{{x}}<br>{plain(up)} %{{y:.4g}}<extra></extra>"
    shared = {"x": x, "y": rows[up].astype(float), "hovertemplate": hover}
    if form == "bars":
        mark: go.Bar | go.Scattergl = go.Bar(**shared, marker={"color": SPATIAL})
    else:
        mode = "lines+markers" if form == "line" else "markers"
        mark = go.Scattergl(**shared, mode=mode, marker={"color": SPATIAL, "size": 7})
    figure = go.Figure(mark)
    if form == "bars":
        figure.update_xaxes(type="category")
    figure.update_xaxes(title_text=plain(across))
    figure.update_yaxes(title_text=plain(up), exponentformat="power")
    return figure.update_layout(height=380, margin={"t": 20})


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
