"""Columns of one head's attention over the patches of a picture (5.2, C)."""

from sqlalchemy import CHAR, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.columns import Bounds, measured, measured_list


class AttentionMap:
    """For tables whose rows are maps of heads that attribution chose."""

    method: Mapped[str] = mapped_column(
        CHAR(1),
        comment="attribution method that ranked the head, A or B",
        info={"bounds": Bounds(values=("A", "B"))},
    )
    grid_rows: Mapped[int] = mapped_column(SmallInteger, comment="patches from top to bottom")
    grid_columns: Mapped[int] = mapped_column(SmallInteger, comment="patches from left to right")
    weights: Mapped[list[float]] = measured_list(
        "attention per patch, row by row from the top left, mean over question tokens", low=0
    )
    image_mass: Mapped[float] = measured(
        "share of attention on the image: the sum of weights, up to rounding", low=0, high=1.0001
    )
