"""Which views and functions of the schema are the atlas's own."""

from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base


class ViewFile(Base):
    """A view or function that `migrate` made from its file; all others in the schema are people's.

    `migrate` replaces what stands here, and nothing else.
    """

    __tablename__ = "view_file"
    __table_args__ = {"comment": "views and functions that migrate made; others are people's own"}

    name: Mapped[str] = mapped_column(
        primary_key=True, comment="of the view, or of the function with its arguments"
    )
