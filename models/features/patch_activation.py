"""Where in the picture a feature fires (5.1)."""

from sqlalchemy import CheckConstraint, LargeBinary, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import (
    Base,
    feature_key,
    layer_key,
    measurement_reference,
    run_key,
    sample_key,
)
from feature_atlas.models.columns import measured


class PatchActivation(Base):
    """One feature over the picture of one of its examples, patch by patch.

    Of the adapted features, of each layer so many at the most as the run's configuration says. No
    row of such a feature's example: the places of its image tokens are not known.
    """

    __tablename__ = "patch_activation"
    __table_args__ = (
        CheckConstraint("grid_rows > 0 AND grid_columns > 0", name="grid"),
        CheckConstraint("octet_length(patches) = grid_rows * grid_columns", name="patches"),
        CheckConstraint("(max_activation > 0) = (patches IS NOT NULL)", name="silent"),
        CheckConstraint("seen_left <= seen_right AND seen_top <= seen_bottom", name="seen"),
        {"comment": "where in the pictures of its examples a feature fires (5.1)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    sample_id: Mapped[sample_key]
    measurement_id: Mapped[measurement_reference]
    grid_rows: Mapped[int] = mapped_column(SmallInteger, comment="patches from top to bottom")
    grid_columns: Mapped[int] = mapped_column(SmallInteger, comment="patches from left to right")
    seen_left: Mapped[float] = measured(
        "left edge of the patch grid on the upright picture; below 0 where it was padded"
    )
    seen_top: Mapped[float] = measured("its upper edge")
    seen_right: Mapped[float] = measured("its right edge; above the width where padded")
    seen_bottom: Mapped[float] = measured("its lower edge; above the height where padded")
    max_activation: Mapped[float] = measured(
        "activation on the strongest patch; 0: silent on the whole picture", low=0
    )
    patches: Mapped[bytes | None] = mapped_column(
        LargeBinary,
        comment="a byte a patch, row by row from the top left: 255 * activation / max_activation, "
        "rounded. 24 x 24 patches are 576 bytes. NULL: silent",
    )
