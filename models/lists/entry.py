"""Which features stand in which list."""

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import created_at, feature_key, layer_key
from feature_atlas.models.lists.kept import Kept, dictionary_key, run_name


class ListEntry(Kept):
    """One feature in one list; view `atlas.listed` finds it in every run of its dictionary."""

    __tablename__ = "entry"
    __table_args__ = (
        Index(None, "dictionary", "layer", "feature"),
        CheckConstraint("length(note) <= 2000", name="note"),
        CheckConstraint("length(added_by) BETWEEN 1 AND 100", name="added_by"),
        {"comment": "a feature in a list"},
    )

    list_id: Mapped[int] = mapped_column(
        ForeignKey("lists.list.id", ondelete="CASCADE"), primary_key=True, comment="the list"
    )
    dictionary: Mapped[dictionary_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    note: Mapped[str | None] = mapped_column(comment="why it is in the list")
    added_by: Mapped[str] = mapped_column(comment="who put it there, as typed")
    run: Mapped[run_name]
    created_at: Mapped[created_at]
