"""Which features write nearly the same direction (beside 4.2)."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import counts, measured_list


class NearestFeature(Base):
    """The features of one feature's layer whose directions are nearest to its own; view
    `near_feature` has a row for each.

    Of every feature, in the text-adapted dictionary; about 200 bytes a row with its key.
    """

    __tablename__ = "nearest_feature"
    __table_args__ = (
        CheckConstraint("cardinality(features) = cardinality(cosines)", name="as_many"),
        {
            "comment": "which features of its layer write nearly the same direction (4.2)",
            "postgresql_partition_by": "LIST (run_id)",
        },
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    measurement_id: Mapped[measurement_reference]
    features: Mapped[list[int]] = counts("the nearest features of the same layer, nearest first")
    cosines: Mapped[list[float]] = measured_list(
        "cosine of their decoder rows with its own", low=-1, high=1
    )
