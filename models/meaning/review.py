"""What people say of a description."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import (
    Base,
    created_at,
    feature_number,
    identity,
    layer_number,
    run_reference,
)
from feature_atlas.models.columns import one_of


class Review(Base):
    """One verdict of one person on a feature's description. Only added; the newest counts."""

    __tablename__ = "review"
    __table_args__ = (
        Index(None, "run_id", "layer", "feature"),
        {"comment": "a person's verdict on a feature's description; the newest counts"},
    )

    id: Mapped[identity]
    run_id: Mapped[run_reference]
    layer: Mapped[layer_number]
    feature: Mapped[feature_number]
    verdict: Mapped[str] = one_of(
        "accept", "reject", "edit", comment="accept the best description, reject it, or edit it"
    )
    description: Mapped[str | None] = mapped_column(comment="the reviewer's own description")
    note: Mapped[str | None] = mapped_column(comment="why")
    judged: Mapped[str | None] = mapped_column(
        comment="the label that the reviewer saw; accepting keeps it, whatever is described later"
    )
    reviewer: Mapped[str] = mapped_column(comment="who")
    created_at: Mapped[created_at]
