"""The six relations, and when each is true of two cells.

Distance is that of a king on a chessboard: the larger of the row and the column difference.
Cells two apart are neither next to nor far from each other.
"""

from collections.abc import Callable

from feature_atlas.toy.scene import column_of, row_of

NEXT_TO_DISTANCE = 1
FAR_FROM_DISTANCE = 3


def cell_distance(a: int, b: int) -> int:
    """King's moves from cell a to cell b, 0 to 3."""
    return max(abs(row_of(a) - row_of(b)), abs(column_of(a) - column_of(b)))


RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "left of": lambda a, b: column_of(a) < column_of(b),
    "right of": lambda a, b: column_of(a) > column_of(b),
    "above": lambda a, b: row_of(a) < row_of(b),
    "below": lambda a, b: row_of(a) > row_of(b),
    "next to": lambda a, b: cell_distance(a, b) == NEXT_TO_DISTANCE,
    "far from": lambda a, b: cell_distance(a, b) == FAR_FROM_DISTANCE,
}


def holds(relation: str, a: int, b: int) -> bool:
    """Whether the thing in cell a stands in the relation to the thing in cell b."""
    if relation not in RELATIONS:
        raise ValueError(f"unknown relation {relation!r}; the tiny world has {list(RELATIONS)}")
    return RELATIONS[relation](a, b)
