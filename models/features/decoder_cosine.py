"""How far adaptation turned a feature (4.2, A.1, A.3)."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import (
    Base,
    feature_key,
    layer_key,
    measurement_reference,
    regime_key,
    run_key,
)
from feature_atlas.models.columns import Bounds, count, measured, precise


class DecoderCosine(Base):
    """One feature in one regime: its decoder direction before and after adaptation."""

    __tablename__ = "decoder_cosine"
    __table_args__ = (
        CheckConstraint(
            "num_nulls(null_cosine, excess_rotation, rotation_p_value, rotation_q_value) IN (0, 4)",
            name="null",
        ),
        CheckConstraint("rotation_p_value <= rotation_q_value", name="correction"),
        {
            "postgresql_partition_by": "LIST (run_id)",
            "comment": "how far adaptation turned a feature, per regime (4.2, A.1, A.3)",
        },
    )

    run_id: Mapped[run_key]
    regime_id: Mapped[regime_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    measurement_id: Mapped[measurement_reference]
    cosine: Mapped[float] = measured(
        "decoder direction after with before; 1: kept, 0: a new direction (4.2)", low=-1, high=1
    )
    encoder_cosine: Mapped[float] = measured(
        "encoder direction after with before; 1: kept, 0: a new direction", low=-1, high=1
    )
    base_norm: Mapped[float] = measured("length of the decoder row before adaptation", low=0)
    adapted_norm: Mapped[float] = measured("length of the decoder row after adaptation", low=0)
    best_base_feature: Mapped[int] = mapped_column(
        comment="base feature of the same layer that the adapted direction is closest to",
        info={"bounds": Bounds(0)},
    )
    best_base_cosine: Mapped[float] = measured(
        "cosine with that base feature; far above cosine: the feature moved onto another",
        low=-1,
        high=1,
    )
    n_firings: Mapped[int] = count(
        "tokens on which the feature fired, and so was updated, in training"
    )
    null_cosine: Mapped[float | None] = measured(
        "median cosine of refit features of the layer that fired as often: turned by training "
        "alone; none: no refit regime, the refit regime itself, or a random start",
        low=-1,
        high=1,
    )
    excess_rotation: Mapped[float | None] = measured(
        "null_cosine less cosine; above 0: turned further than refitting alone", low=-2, high=2
    )
    rotation_p_value: Mapped[float | None] = precise(
        "chance that a refit feature which fired as often turns at least as far", low=0, high=1
    )
    rotation_q_value: Mapped[float | None] = precise(
        "rotation_p_value after Benjamini-Hochberg over all features of the regime", low=0, high=1
    )
