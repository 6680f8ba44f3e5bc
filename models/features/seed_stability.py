"""Whether features turn again when the data come in another order (beside 4.1, 4.2)."""

from sqlalchemy import CheckConstraint, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, count, measured


class SeedStability(Base):
    """One feature over the seeds of `adapt.seeds`: trained to the same data in other orders."""

    __tablename__ = "seed_stability"
    __table_args__ = (
        CheckConstraint("n_seeds_adapted <= n_seeds", name="adapted"),
        CheckConstraint("n_seeds_turned_by_vision <= n_seeds_adapted", name="vision"),
        CheckConstraint("cosine_low <= cosine_high", name="order"),
        {
            "postgresql_partition_by": "LIST (run_id)",
            "comment": "whether a feature turns again when the data come in another order "
            "(beside 4.1, 4.2)",
        },
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    measurement_id: Mapped[measurement_reference]
    n_seeds: Mapped[int] = mapped_column(
        SmallInteger,
        info={"bounds": Bounds(2)},
        comment="orders of the data that it was trained in",
    )
    cosine_mean: Mapped[float] = measured("text cosine, mean over seeds", low=-1, high=1)
    cosine_sd: Mapped[float] = measured(
        "standard deviation of the text cosine over seeds (n - 1): how far the order of the data "
        "alone moves it",
        low=0,
        high=2,
    )
    cosine_low: Mapped[float] = measured("of the seed that turned it furthest", low=-1, high=1)
    cosine_high: Mapped[float] = measured("of the seed that turned it least", low=-1, high=1)
    n_seeds_adapted: Mapped[int] = count(
        "seeds in which it is adapted: by their cosines, with the E_v of the first"
    )
    n_seeds_turned_by_vision: Mapped[int | None] = count(
        "seeds in which it is turned by vision, each against its own refit null and language "
        "control; none: no such controls"
    )
