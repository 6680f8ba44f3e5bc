"""Columns of one head's attention over the patches of a picture (5.2, C)."""

from sqlalchemy import SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.columns import measured, measured_list, one_of
from feature_atlas.models.heads.attribution_agreement import ESTIMATES


class AttentionMap:
    """For tables whose rows are maps of heads that attribution chose."""

    method: Mapped[str] = one_of(
        *ESTIMATES,
        comment="estimate that ranked the head: the one that agrees best with real swaps of "
        "queries and keys (attribution_agreement)",
    )
    grid_rows: Mapped[int] = mapped_column(SmallInteger, comment="patches from top to bottom")
    grid_columns: Mapped[int] = mapped_column(SmallInteger, comment="patches from left to right")
    weights: Mapped[list[float]] = measured_list(
        "attention per patch, row by row from the top left, mean over question tokens", low=0
    )
    image_mass: Mapped[float] = measured(
        "share of attention on the image: the sum of weights, up to rounding", low=0, high=1.0001
    )
