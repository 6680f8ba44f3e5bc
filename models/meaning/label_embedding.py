"""Vectors of what features are said to mean, for search by meaning."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, created_at
from feature_atlas.models.columns import measured_list


class LabelEmbedding(Base):
    """One text by one embedding model, however many features of however many runs it describes.

    A plain list of numbers: it needs no extension, and where pgvector is installed a cast makes it
    a vector.
    """

    __tablename__ = "label_embedding"
    __table_args__ = (
        CheckConstraint("text_hash ~ '^[0-9a-f]{64}$'", name="text_hash"),
        CheckConstraint("cardinality(embedding) > 0", name="n_dims"),
        {"comment": "a description as a vector, once per text and embedding model"},
    )

    model: Mapped[str] = mapped_column(
        primary_key=True, comment="embedding model, as its endpoint or folder is called"
    )
    revision: Mapped[str] = mapped_column(
        primary_key=True,
        comment="hash over a local model's files; empty for an endpoint, which tells none",
    )
    text_hash: Mapped[str] = mapped_column(
        primary_key=True, comment="sha256 of the description in UTF-8, hexadecimal"
    )
    description: Mapped[str] = mapped_column(comment="the text that was embedded")
    embedding: Mapped[list[float]] = measured_list(
        "the vector; the smaller the angle, the nearer the meaning"
    )
    created_at: Mapped[created_at]
