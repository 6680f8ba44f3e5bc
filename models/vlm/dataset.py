"""Sets of questions about images."""

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, identity
from feature_atlas.models.columns import count, one_of


class Dataset(Base):
    """One split of one dataset as it lay on disk."""

    __tablename__ = "dataset"
    __table_args__ = (
        UniqueConstraint("name", "split", "fingerprint"),
        {"comment": "a split of a dataset of questions about images"},
    )

    id: Mapped[identity]
    name: Mapped[str] = mapped_column(comment="what the dataset is called")
    kind: Mapped[str] = one_of(
        "vqav2", "vsr", "whatsup", "gqa", comment="file format it was read from"
    )
    split: Mapped[str] = mapped_column(comment="train, validation, test, ...")
    fingerprint: Mapped[str] = mapped_column(comment="hash over the annotation files")
    n_samples: Mapped[int] = count("questions that were used")
