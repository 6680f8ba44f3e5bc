"""Lists of features that readers keep."""

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import created_at, identity
from feature_atlas.models.lists.kept import Kept


class FeatureList(Kept):
    """A list of features under a title; anybody who may write may change it."""

    __tablename__ = "list"
    __table_args__ = (
        UniqueConstraint("slug"),
        Index("uq__list__title", text("lower(title)"), unique=True),
        CheckConstraint("length(slug) BETWEEN 1 AND 100", name="slug"),
        CheckConstraint("length(title) BETWEEN 1 AND 200", name="title"),
        CheckConstraint("length(owner) BETWEEN 1 AND 100", name="owner"),
        CheckConstraint("length(note) <= 2000", name="note"),
        {"comment": "a list of features that a reader keeps"},
    )

    id: Mapped[identity]
    slug: Mapped[str] = mapped_column(comment="its name in addresses and SQL; never changes")
    title: Mapped[str] = mapped_column(comment="what it is called")
    owner: Mapped[str] = mapped_column(comment="who made it, as typed")
    note: Mapped[str | None] = mapped_column(comment="what it is for")
    created_at: Mapped[created_at]
