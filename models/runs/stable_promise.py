"""The run that readers are promised: it stays, and they may name it stable."""

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, created_at


class StablePromise(Base):
    """At most one row; the run that it names cannot be dropped."""

    __tablename__ = "stable_promise"
    __table_args__ = (
        CheckConstraint("is_stable", name="is_stable"),
        {"comment": "the run that readers are promised to find, at most one row"},
    )

    is_stable: Mapped[bool] = mapped_column(
        primary_key=True, comment="always true: the key that keeps a second row out"
    )
    run_id: Mapped[int] = mapped_column(
        ForeignKey("atlas.run.id", ondelete="RESTRICT"), comment="the run that is promised"
    )
    created_at: Mapped[created_at]
