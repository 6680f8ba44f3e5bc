"""How few features remain, step by step (paper 4.2, 4.3)."""

from math import log10

import pandas as pd
import plotly.graph_objects as go

from feature_atlas.dashboards.features.shift_charts import colour_of_skill
from feature_atlas.dashboards.palette import ADAPTED, ALL, plain

STEPS = {"all features": ALL, "adapted": ADAPTED}
NAMES = {"spatial": "Spatial", "ocr": "OCR"}

_START = 0.5


def funnel_chart(steps: pd.DataFrame, skill: str) -> go.Figure:
    """Bars on a logarithmic axis: a million and a dozen both stay visible."""
    rows = steps[steps.skill == skill].reset_index(drop=True)
    before = rows.n_features.shift(1)
    shares = [
        f"{n:,}" if pd.isna(of) or of == 0 else f"{n:,}  ({_share(n / of)} of these)"
        for n, of in zip(rows.n_features, before, strict=True)
    ]
    figure = go.Figure(
        go.Bar(
            # on a logarithm nothing starts at 0: bars start at a half, so that 1 is seen
            base=_START,
            x=(rows.n_features - _START).clip(lower=0),
            y=rows.step,
            orientation="h",
            marker_color=[STEPS.get(step, colour_of_skill(skill)) for step in rows.step],
            text=shares,
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    decades = log10(max(rows.n_features.max(), 10) / _START)
    figure.update_xaxes(
        type="log",
        range=[log10(_START), log10(_START) + 1.6 * decades],
        showgrid=False,
        showticklabels=False,
        ticks="",
        showline=False,
    )
    figure.update_yaxes(
        autorange="reversed", showgrid=False, ticks="", showline=False, ticksuffix="  "
    )
    return figure.update_layout(
        title=f"{plain(NAMES.get(skill, skill))} features",
        height=215,
        margin={"b": 10},  # no numbers below
        bargap=0.3,
        uniformtext_minsize=12,
    )


def _share(part: float) -> str:
    """Few of a million are not none."""
    return f"{part:.2%}" if 0 < part < 0.01 else f"{part:.1%}"
