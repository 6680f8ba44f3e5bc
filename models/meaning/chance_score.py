"""Every score beside what a dictionary that knows nothing gets (beside 4 and 5)."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, measurement_reference, run_key
from feature_atlas.models.columns import count, measured


class ChanceScore(Base):
    """One score: of the run's dictionaries, and of random ones sent through the same stages."""

    __tablename__ = "chance_score"
    __table_args__ = (
        CheckConstraint("low <= high", name="interval"),
        CheckConstraint("p5 <= p95", name="percentiles"),
        CheckConstraint("random_low <= random_high", name="random_interval"),
        CheckConstraint("random_p5 <= random_p95", name="random_percentiles"),
        {
            "comment": "every score beside what a dictionary of frozen random directions gets "
            "(beside 4 and 5)"
        },
    )

    run_id: Mapped[run_key]
    score: Mapped[str] = mapped_column(
        primary_key=True,
        comment="which, with its skill; whether a skill recruits a feature, or it survives, counts "
        "as 1 and 0",
    )
    measurement_id: Mapped[measurement_reference]
    n: Mapped[int] = count("features of the regime text that have it; of L0 and FVU: layers")
    mean: Mapped[float | None] = measured("over these; none: no feature has it")
    low: Mapped[float | None] = measured(
        "lower end of the mean's 95 % interval, features taken as independent; none: fewer than two"
    )
    high: Mapped[float | None] = measured("upper end")
    p5: Mapped[float | None] = measured("5 % of the features lie below; none: it is a yes or no")
    p95: Mapped[float | None] = measured("5 % of the features lie above")
    n_random: Mapped[int] = count("n of the frozen random dictionaries")
    random_mean: Mapped[float | None] = measured("mean of theirs: the score by chance")
    random_low: Mapped[float | None] = measured("lower end of its 95 % interval")
    random_high: Mapped[float | None] = measured("upper end")
    random_p5: Mapped[float | None] = measured("5 % of random features lie below")
    random_p95: Mapped[float | None] = measured(
        "5 % of random features lie above: a feature beats chance where its score is higher"
    )
    is_beyond_chance: Mapped[bool | None] = mapped_column(
        comment="whether the two intervals lie apart, whichever is higher; none: one is not known"
    )
