"""Which features count as adapted: they see, and they turned (4.2)."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import measured


class Selection(Base):
    """One feature against the run's two thresholds."""

    __tablename__ = "selection"
    __table_args__ = (
        CheckConstraint(
            "is_turned_by_vision = (is_adapted AND is_beyond_null AND is_beyond_language)",
            name="vision",
        ),
        {
            "postgresql_partition_by": "LIST (run_id)",
            "comment": "which features are adapted: visual energy above epsilon, cosine low (4.2)",
        },
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    measurement_id: Mapped[measurement_reference]
    is_adapted: Mapped[bool] = mapped_column(
        comment="whether E_v is above epsilon and the cosine in the bottom quarter (4.2)"
    )
    cosine_rank: Mapped[float] = measured(
        "share of all features of the run with a lower text cosine; 0: turned most", low=0, high=1
    )
    is_beyond_null: Mapped[bool | None] = mapped_column(
        comment="whether it turned further than refitting alone explains (rotation_q_value, "
        "excess_rotation); none: no refit regime"
    )
    is_beyond_language: Mapped[bool | None] = mapped_column(
        comment="whether it turned further than on the same questions without image, by more than "
        "the refit null's noise; none: no such regime"
    )
    is_turned_by_vision: Mapped[bool | None] = mapped_column(
        comment="whether it is adapted, beyond the null and beyond language; none: no controls"
    )
