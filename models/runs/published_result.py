"""The paper's own numbers, so that a reproduction is a join."""

from sqlalchemy import SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, feature_key, layer_key
from feature_atlas.models.columns import count, precise


class PublishedResult(Base):
    """One row of the paper's Table 1 or 2, as printed; the two disagree in places."""

    __tablename__ = "published_result"
    __table_args__ = {"comment": "the paper's Tables 1 (5.3) and 2 (D), as printed"}

    table_no: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, autoincrement=False, comment="the paper's table, 1 or 2"
    )
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    delta_vsr: Mapped[float] = precise(
        "accuracy on VSR, after minus before; below 0: the removal hurts"
    )
    delta_vsr_probability: Mapped[float | None] = precise(
        "probability of the right answer on VSR, after minus before (Table 2)"
    )
    delta_vqa: Mapped[float] = precise("accuracy on VQA, after minus before")
    delta_control: Mapped[float] = precise("accuracy on VSR, random features of the layer removed")
    vsr_odds_ratio: Mapped[float] = precise(
        "odds of firing, VSR over base; above 1: fires more", low=0
    )
    n_samples: Mapped[int | None] = count("VSR statements evaluated (Table 2)")
    relations: Mapped[str] = mapped_column(comment="spatial relations of the statements")
