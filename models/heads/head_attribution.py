"""Which attention heads drive a feature (5.2, C)."""

from sqlalchemy import CHAR, CheckConstraint
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
from feature_atlas.models.columns import Bounds, count, measured
from feature_atlas.models.heads.corruption import corruption_key


class HeadAttribution(Base):
    """One head's first-order effect on one feature, by one method of attribution patching."""

    __tablename__ = "head_attribution"
    __table_args__ = (
        CheckConstraint("head_layer <= layer", name="head_below_feature"),
        {"comment": "first-order effect of an attention head on a feature (5.2, C)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    method: Mapped[str] = mapped_column(
        CHAR(1),
        primary_key=True,
        comment="A: (corrupted - clean) x gradient of the clean run; "
        "B: (clean - corrupted) x gradient of the corrupted run; where all is linear A = -B (5.2)",
        info={"bounds": Bounds(values=("A", "B"))},
    )
    head_layer: Mapped[head_layer_key]
    head: Mapped[head_key]
    corruption: Mapped[corruption_key]
    measurement_id: Mapped[measurement_reference]
    score: Mapped[float] = measured(
        "q + k, mean over samples; "
        "the head drives the feature where A is below 0 and B above 0 (5.2)"
    )
    q: Mapped[float] = measured("part through the queries")
    k: Mapped[float] = measured("part through the keys")
    v: Mapped[float] = measured("part through the values")
    z: Mapped[float] = measured("effect through the head's output")
    q_fix: Mapped[float | None] = measured(
        "q through a softmax computed anew (QK fix): right where that is saturated; none: not "
        "computed"
    )
    k_fix: Mapped[float | None] = measured("k through a softmax computed anew (QK fix)")
    qk_fix: Mapped[float | None] = measured(
        "q and k at once through a softmax computed anew; they act together, so not q_fix + k_fix"
    )
    standard_error: Mapped[float] = measured("standard error of score over samples", low=0)
    n_samples: Mapped[int] = count("samples averaged")
