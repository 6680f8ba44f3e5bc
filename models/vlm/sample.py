"""Questions about images."""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base
from feature_atlas.models.columns import words_index


class Sample(Base):
    """One question about one image, with its answer."""

    __tablename__ = "sample"
    __table_args__ = (
        UniqueConstraint("dataset_id", "external_id"),
        Index(None, "image_id"),
        words_index("ix__sample__question_words", "question"),
        {"comment": "a question about an image, with its answer"},
    )

    id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="surrogate key"
    )
    dataset_id: Mapped[int] = mapped_column(
        ForeignKey("atlas.dataset.id"), comment="where the question comes from"
    )
    external_id: Mapped[str] = mapped_column(comment="the dataset's own id of the question")
    image_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("atlas.image.id"), comment="the image it is about"
    )
    question: Mapped[str] = mapped_column(comment="question, or statement to judge (VSR)")
    answer: Mapped[str] = mapped_column(comment="the most common human answer; yes or no for VSR")
    question_type: Mapped[str | None] = mapped_column(comment="first words, as VQAv2 groups them")
    answer_type: Mapped[str | None] = mapped_column(comment="yes/no, number or other (VQAv2)")
    relation: Mapped[str | None] = mapped_column(comment="spatial relation asked about, if known")
    truth: Mapped[dict[str, Any] | None] = mapped_column(
        comment="what is known of the scene, for drawn images"
    )
