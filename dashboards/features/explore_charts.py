"""Charts of a view: its features by two of their numbers, and by layer."""

import pandas as pd
import plotly.graph_objects as go

from feature_atlas.dashboards.palette import ADAPTED, SPATIAL, cloud_trace, crowd_opacity, plain


def bins_chart(bins: pd.DataFrame, names: tuple[str, str], is_log: tuple[bool, bool]) -> go.Figure:
    """Bins of features, the fuller the more solid; a box drawn on it chooses."""
    figure = go.Figure(
        cloud_trace(len(bins))(
            x=bins.x, y=bins.y, customdata=bins[["n_features"]], mode="markers",
            marker={"symbol": "square", "size": 7, "color": SPATIAL,
                    "opacity": crowd_opacity(bins.n_features.astype(float))},
            hovertemplate="%{customdata[0]:,} features around<br>" + plain(names[0])
            + " %{x:.4g}<br>" + plain(names[1]) + " %{y:.4g}<extra></extra>",
        )
    )  # fmt: skip
    for axis, name, log in zip("xy", names, is_log, strict=True):
        figure.update_layout({f"{axis}axis_title": plain(name) + (", logarithmic" if log else "")})
        if log:
            figure.update_layout({f"{axis}axis_type": "log", f"{axis}axis_exponentformat": "power"})
    return figure.update_layout(height=380, dragmode="select", margin={"t": 20})


def layers_chart(layers: pd.DataFrame) -> go.Figure:
    """How many features pass in each layer."""
    figure = go.Figure(
        go.Bar(
            x=layers.layer, y=layers.n_features, marker={"color": ADAPTED},
            hovertemplate="layer %{x}: %{y:,} features<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(title_text="layer", dtick=1 if len(layers) < 16 else None)
    figure.update_yaxes(title_text="features")
    return figure.update_layout(height=380, bargap=0.25, margin={"t": 20})
