"""Where a head looks when its feature fires (5.2, C)."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped

from feature_atlas.models.base import (
    Base,
    feature_key,
    head_key,
    head_layer_key,
    layer_key,
    measurement_reference,
    run_key,
    sample_key,
)
from feature_atlas.models.columns import measured, one_of
from feature_atlas.models.heads.attention_map import AttentionMap


class Overlay(AttentionMap, Base):
    """One head's attention from the question to the image, on one sample."""

    __tablename__ = "overlay"
    __table_args__ = (
        CheckConstraint("grid_rows > 0 AND grid_columns > 0", name="grid"),
        CheckConstraint("cardinality(weights) = grid_rows * grid_columns", name="patches"),
        CheckConstraint("seen_left <= seen_right AND seen_top <= seen_bottom", name="seen"),
        CheckConstraint(
            "num_nulls(seen_left, seen_top, seen_right, seen_bottom) IN (0, 4)", name="whole_box"
        ),
        CheckConstraint("num_nulls(object_share, object_area, lift) IN (0, 3)", name="objects"),
        {"comment": "where a head looks on the image while its feature fires (5.2, C)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    sample_id: Mapped[sample_key]
    head_layer: Mapped[head_layer_key]
    head: Mapped[head_key]
    measurement_id: Mapped[measurement_reference]
    kind: Mapped[str] = one_of(
        "top",
        "bottom",
        "random",
        comment="why the head was chosen: strongest, weakest, or near a top one in layer and image "
        "mass",
    )
    seen_left: Mapped[float | None] = measured(
        "left edge of the patch grid on the upright picture; below 0 where it was padded; "
        "NULL: not told"
    )
    seen_top: Mapped[float | None] = measured("its upper edge")
    seen_right: Mapped[float | None] = measured("its right edge; above the width where padded")
    seen_bottom: Mapped[float | None] = measured("its lower edge; above the height where padded")
    object_share: Mapped[float | None] = measured(
        "share of the head's attention to the image that is on patches of the objects that the "
        "question names; NULL: not known where they are, or not clear which",
        low=0,
        high=1.0001,
    )
    object_area: Mapped[float | None] = measured(
        "share of the patches that are those objects'", low=0, high=1
    )
    lift: Mapped[float | None] = measured(
        "object_share / object_area; 1: as a head that looks anywhere alike", low=0
    )
