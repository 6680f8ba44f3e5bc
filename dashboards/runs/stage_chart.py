"""How long each stage took and the most memory it held."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from feature_atlas.dashboards.palette import ADAPTED, FAINT, SPATIAL, plain


def stage_bars(stages: pd.DataFrame) -> go.Figure:
    """Seconds on the left, gigabytes on the right; stages in order of execution."""
    figure = make_subplots(
        cols=2, shared_yaxes=True, horizontal_spacing=0.04, column_widths=[0.55, 0.45]
    )
    names = [plain(stage) for stage in stages.stage]
    for column, name, colour, place, unit in (
        ("seconds", "time", SPATIAL, 1, "s"),
        ("peak_gb", "main memory", FAINT, 2, "GB"),
        ("card_gb", "card", ADAPTED, 2, "GB"),
    ):
        if stages[column].isna().all():
            continue  # no card, or a system that does not say
        figure.add_bar(
            row=1, col=place, x=stages[column].astype(float), y=names, orientation="h", name=name,
            marker_color=colour, hovertemplate=f"%{{y}}: %{{x:.3g}} {unit}<extra>{name}</extra>",
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="", showline=False)
    figure.update_xaxes(title_text="seconds", row=1, col=1)
    figure.update_xaxes(title_text="most memory held, GB", rangemode="tozero", row=1, col=2)
    return figure.update_layout(height=120 + 22 * len(stages), bargap=0.25)
