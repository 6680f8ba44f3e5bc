"""Where in a picture a feature fires: the picture, darker where it does not, and its patches.

Patches may be of several sizes and lie over each other, as tiles and a view of the whole do. So the
picture is cut at every edge of every patch, and a cell shows the strongest patch over it.
"""

import base64
from collections.abc import Sequence
from io import BytesIO

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from PIL import Image, ImageOps

from feature_atlas.dashboards.heads.attention_overlay import MAX_OPACITY, VEIL, crisp

SIDE = 512
"""Pixels of the longer side as it is sent to the browser."""
HEIGHT = 360
"""Of the chart, in pixels."""


def shown_picture(content: bytes) -> Image.Image:
    """Upright, on white, small enough to be sent and large enough to be seen."""
    picture = ImageOps.exif_transpose(Image.open(BytesIO(content)))
    picture.thumbnail((SIDE, SIDE))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    stored = BytesIO()
    picture.convert("RGB").save(stored, "PNG")
    return crisp(stored.getvalue(), SIDE // 2)


def patch_heat(
    picture: Image.Image, size: tuple[int, int], patches: pd.DataFrame, chosen: str
) -> go.Figure:
    """`patches`: token, box, activation, times_usual; boxes in a picture of this size.

    `chosen`: the token whose patch has a frame, as the address says it.
    """
    width, height = size
    figure = go.Figure()
    figure.add_layout_image(
        source=_as_source(picture), x=0, y=0, sizex=width, sizey=height,
        xref="x", yref="y", sizing="stretch", layer="below",
    )  # fmt: skip
    if (patches.activation > 0).any():
        figure.add_trace(_veil(patches, width, height))
    figure.add_trace(_points(patches))
    for box in patches.box[patches.token.astype(str) == chosen]:
        left, top, right, bottom = box
        line = {"color": "#ffffff", "width": 2}
        figure.add_shape(type="rect", x0=left, y0=top, x1=right, y1=bottom, line=line)
    hidden = {"visible": False, "fixedrange": True}
    figure.update_layout(
        xaxis={**hidden, "range": [0, width], "constrain": "domain"},
        yaxis={**hidden, "range": [height, 0], "scaleanchor": "x", "constrain": "domain"},
        height=HEIGHT,
        margin={"l": 0, "r": 0, "t": 30, "b": 0},  # the tool bar is above the picture
        clickmode="event+select",
        dragmode=False,
        showlegend=False,
    )
    return figure


def _as_source(picture: Image.Image) -> str:
    stored = BytesIO()
    picture.save(stored, "PNG")
    return "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode()


def _veil(patches: pd.DataFrame, width: int, height: int) -> go.Heatmap:
    """Clear where the feature is strongest; no colour of the picture's own is touched there."""
    boxes = np.array(patches.box.tolist(), dtype=float)
    across = _edges(boxes[:, [0, 2]], width)
    down = _edges(boxes[:, [1, 3]], height)
    cells = np.zeros((len(down) - 1, len(across) - 1))
    for (left, top, right, bottom), activation in zip(boxes, patches.activation, strict=True):
        rows = slice(np.searchsorted(down, top), np.searchsorted(down, min(bottom, height)))
        columns = slice(np.searchsorted(across, left), np.searchsorted(across, min(right, width)))
        cells[rows, columns] = np.maximum(cells[rows, columns], activation)
    red_green_blue = ", ".join(map(str, VEIL))
    scale = [[0, f"rgba({red_green_blue}, {MAX_OPACITY})"], [1, f"rgba({red_green_blue}, 0)"]]
    return go.Heatmap(
        x=across, y=down, z=cells, zmin=0, colorscale=scale, showscale=False, hoverinfo="skip"
    )


def _edges(ends: np.ndarray, length: int) -> np.ndarray:
    """Where patches begin and end inside the picture, and the picture itself."""
    inside = ends[(ends > 0) & (ends < length)]
    return np.unique([0.0, *inside, float(length)])


def _points(patches: pd.DataFrame) -> go.Scatter:
    """What the pointer finds: the middle of each patch, unseen."""
    boxes = np.array(patches.box.tolist(), dtype=float).reshape(-1, 4)
    unseen = {"marker": {"opacity": 0}}
    return go.Scatter(
        x=boxes[:, [0, 2]].mean(1),
        y=boxes[:, [1, 3]].mean(1),
        mode="markers",
        marker={"symbol": "square", "size": 24, "opacity": 0, "color": "#ffffff"},
        selected=unseen,
        unselected=unseen,
        customdata=list(zip(patches.token, patches.activation, _usual(patches), strict=True)),
        hovertemplate="activation %{customdata[1]:.3g}%{customdata[2]}<extra></extra>",
    )


def _usual(patches: pd.DataFrame) -> Sequence[str]:
    return [
        "" if pd.isna(ratio) else f", {ratio:.2f} times as usual" for ratio in patches.times_usual
    ]
