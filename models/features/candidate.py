"""Which candidates survive the lexical filter of neutral prompts (4.3, A.6)."""

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import (
    Base,
    feature_key,
    layer_key,
    measurement_reference,
    run_key,
    skill_key,
)
from feature_atlas.models.columns import count


class Candidate(Base):
    """One candidate of one skill over all neutral prompts together."""

    __tablename__ = "candidate"
    __table_args__ = (
        CheckConstraint("n_fired <= n_samples AND n_fired_mean_image <= n_samples", name="samples"),
        CheckConstraint("n_fired_shuffled_image <= n_samples", name="shuffled"),
        Index(None, "run_id", "layer", "feature"),
        {"comment": "which candidates are still active on neutral prompts (4.3, A.6)"},
    )

    run_id: Mapped[run_key]
    skill_id: Mapped[skill_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    measurement_id: Mapped[measurement_reference]
    survives: Mapped[bool] = mapped_column(
        comment="whether on one neutral prompt it fires because of the image, not of a word"
    )
    n_samples: Mapped[int] = count("runs: images tried, summed over the neutral prompts")
    n_fired: Mapped[int] = count("of them, how many on which it fired")
    n_fired_mean_image: Mapped[int] = count(
        "of them, how many on which it fired with the image replaced by the mean embedding"
    )
    n_fired_shuffled_image: Mapped[int | None] = count(
        "of them, how many on which it fired with the image replaced by another sample's"
    )
