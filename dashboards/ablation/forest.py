"""Effects with their intervals, one below the other, controls as grey ticks."""

import pandas as pd
import plotly.graph_objects as go

from feature_atlas.dashboards.named_rows import ACCURACY, named_rows
from feature_atlas.dashboards.palette import CAUSAL, FAINT, SPATIAL

EVALUATIONS = {
    "vsr_relation": "statements of its relation (VSR)",
    "vsr_other": "statements of other relations",
    "vsr_all": "statements of every relation (VSR)",
    "vqa_yes_no": "VQA yes / no",
    "vsr_paper": "all statements of its relation, the paper's way",
    "whatsup": "What'sUp, statements and their opposites",
    "gqa": "GQA, spatial yes / no",
}
COLOURS = {"vsr_relation": CAUSAL, "vqa_yes_no": SPATIAL}


def forest(effects: pd.DataFrame, controls: pd.DataFrame) -> go.Figure:
    """`effects`: name, evaluation, delta, low, high, n_samples; `controls`: name, evaluation,
    delta; all deltas in percentage points, names in the order from top to bottom."""
    names = list(dict.fromkeys(effects.name))
    place = {name: -i for i, name in enumerate(names)}
    figure = go.Figure()
    for evaluation, shift in (("vsr_relation", 0.14), ("vqa_yes_no", -0.14)):
        of_controls = controls[controls.evaluation == evaluation]
        if len(of_controls):
            figure.add_scatter(
                x=of_controls.delta,
                y=of_controls.name.map(place) + shift,
                mode="markers",
                marker={
                    "symbol": "line-ns", "size": 11, "opacity": 0.8,
                    "line": {"width": 1.6, "color": FAINT},
                },
                name=f"random controls, {EVALUATIONS[evaluation]}",
                showlegend=evaluation == "vsr_relation",
                hovertemplate="control: %{x:+.2f} pp<extra></extra>",
            )  # fmt: skip
        of_targets = effects[effects.evaluation == evaluation]
        if len(of_targets):
            figure.add_scatter(
                x=of_targets.delta,
                y=of_targets.name.map(place) + shift,
                error_x={
                    "array": of_targets.high - of_targets.delta,
                    "arrayminus": of_targets.delta - of_targets.low,
                    "thickness": 2,
                    "width": 4,
                },
                mode="markers",
                marker={"size": 9, "color": COLOURS[evaluation]},
                customdata=of_targets[["low", "high", "n_samples", "name"]],
                name=EVALUATIONS[evaluation],
                hovertemplate=(
                    "<b>%{customdata[3]}</b><br>%{x:+.2f} pp  [%{customdata[0]:+.2f}, "
                    "%{customdata[1]:+.2f}]<br>%{customdata[2]:,} questions<extra></extra>"
                ),
            )
    return named_rows(figure, names, ACCURACY, 140 + 44 * len(names))
