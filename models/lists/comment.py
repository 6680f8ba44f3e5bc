"""What readers say of features."""

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import created_at, feature_number, identity, layer_number
from feature_atlas.models.lists.kept import Kept, dictionary, run_name


class Comment(Kept):
    """One remark of one person on a feature. Only added."""

    __tablename__ = "comment"
    __table_args__ = (
        Index(None, "dictionary", "layer", "feature"),
        CheckConstraint("length(said) BETWEEN 1 AND 2000", name="said"),
        CheckConstraint("length(author) BETWEEN 1 AND 100", name="author"),
        {"comment": "a reader's remark on a feature"},
    )

    id: Mapped[identity]
    dictionary: Mapped[dictionary]
    layer: Mapped[layer_number]
    feature: Mapped[feature_number]
    said: Mapped[str] = mapped_column(comment="the remark")
    author: Mapped[str] = mapped_column(comment="who, as typed")
    run: Mapped[run_name]
    created_at: Mapped[created_at]
