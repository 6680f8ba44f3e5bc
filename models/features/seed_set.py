"""How much of a set of features comes back in other seeds (beside 4.1 to 4.3)."""

from sqlalchemy import SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, count, measured


class SeedSet(Base):
    """One set of the first seed, and what of it is found in at least so many seeds."""

    __tablename__ = "seed_set"
    __table_args__ = (
        {"comment": "how much of a set of features comes back in other seeds (beside 4.1 to 4.3)"},
    )

    run_id: Mapped[run_key]
    feature_set: Mapped[str] = mapped_column(
        primary_key=True,
        comment="adapted, turned by vision; <skill> candidates and survivors, of which other seeds "
        "say whether they are adapted: shift and neutral prompts are measured of the first alone",
    )
    n_seeds: Mapped[int] = mapped_column(
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        info={"bounds": Bounds(1)},
        comment="in at least so many seeds, the first among them; 1: the set itself",
    )
    measurement_id: Mapped[measurement_reference]
    n_features: Mapped[int] = count("features of the set that are found in so many")
    share: Mapped[float | None] = measured("of the set; none: it is empty", low=0, high=1)
    share_by_chance: Mapped[float] = measured(
        "the share if every other seed drew its set, of its own size, blindly", low=0, high=1
    )
