"""How much of a picture its processor cuts away before the vision tower sees it (paper 3.1).

A centre crop takes the left and right edges of an oblong picture: the evidence for "left of".
"""

from feature_atlas.vlm.processor_geometry import Geometry


def share_lost(seen: Geometry, width: int, height: int) -> float:
    """Share of a picture's area that lies outside what the tower sees: 0 is all of it seen."""
    across = _part_seen(seen.offset_x, seen.scale_x * width, seen.width)
    down = _part_seen(seen.offset_y, seen.scale_y * height, seen.height)
    return 1 - across * down


def _part_seen(start: float, length: float, room: float) -> float:
    """Of a line from ``start``, the part that lies between 0 and ``room``."""
    return max(0.0, min(start + length, room) - max(start, 0.0)) / length
