"""Where a feature's heads look on a question of one's own (5.2, Fig. 16)."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import (
    Base,
    feature_key,
    head_key,
    head_layer_key,
    layer_key,
    measurement_reference,
    run_key,
)
from feature_atlas.models.columns import measured, one_of
from feature_atlas.models.heads.attention_map import AttentionMap
from feature_atlas.models.heads.custom_prompt import PROMPT


class CustomOverlay(AttentionMap, Base):
    """One head's attention from a custom question to its picture."""

    __tablename__ = "custom_overlay"
    __table_args__ = (
        CheckConstraint("grid_rows > 0 AND grid_columns > 0", name="grid"),
        CheckConstraint("cardinality(weights) = grid_rows * grid_columns", name="patches"),
        CheckConstraint("seen_left <= seen_right AND seen_top <= seen_bottom", name="seen"),
        {"comment": "where a feature's heads look on a custom prompt (5.2, Fig. 16)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    prompt: Mapped[str] = mapped_column(primary_key=True, comment=PROMPT)
    head_layer: Mapped[head_layer_key]
    head: Mapped[head_key]
    measurement_id: Mapped[measurement_reference]
    kind: Mapped[str] = one_of(
        "top", "bottom", "random", comment="why the feature has the head in overlay"
    )
    seen_left: Mapped[float] = measured(
        "left edge of the patch grid on the upright picture; below 0 where it was padded"
    )
    seen_top: Mapped[float] = measured("its upper edge")
    seen_right: Mapped[float] = measured("its right edge; above the width where padded")
    seen_bottom: Mapped[float] = measured("its lower edge; above the height where padded")
