"""How much of a picture its processor cuts away before the vision tower sees it (paper 3.1).

A centre crop takes the left and right edges of an oblong picture: the evidence for "left of".
"""

from collections.abc import Sequence

import numpy as np

from feature_atlas.vlm.processor_geometry import Box


def share_lost(seen: Sequence[Box], width: int, height: int) -> float:
    """Share of a picture's area that lies in none of the boxes that are seen: 0 is all of it."""
    x = np.unique([0, width, *(edge for box in seen for edge in (box.left, box.right))])
    y = np.unique([0, height, *(edge for box in seen for edge in (box.top, box.bottom))])
    x, y = x.clip(0, width), y.clip(0, height)
    covered = np.zeros((len(y) - 1, len(x) - 1), bool)
    for left, top, right, bottom in seen:
        across = (x[:-1] >= left) & (x[1:] <= right)
        covered |= np.outer((y[:-1] >= top) & (y[1:] <= bottom), across)
    areas = np.outer(np.diff(y), np.diff(x))
    return float(areas[~covered].sum() / (width * height))
