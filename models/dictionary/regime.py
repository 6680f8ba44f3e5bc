"""Which tokens adapted an SAE (3.2, A.2)."""

from sqlalchemy import SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base


class Regime(Base):
    """One choice of the model and tokens on which the base SAE continues its training."""

    __tablename__ = "regime"
    __table_args__ = (
        UniqueConstraint("name"),
        {"comment": "one choice of the model and tokens that adapt the SAE (3.2)"},
    )

    id: Mapped[int] = mapped_column(
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="1 text, 2 image, 3 full, 4 random, 5 refit, 6 language, 7 instruct",
    )
    name: Mapped[str] = mapped_column(
        comment="text: text tokens only, as the paper chose; image; full; random: full from an "
        "untrained start. Controls on text alone: refit, the base model on plain text, the null; "
        "language, the VLM on questions without their image; instruct, a tuned model on them"
    )
