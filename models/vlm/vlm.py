"""The vision-language model under study."""

from sqlalchemy import SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, identity


class Vlm(Base):
    """One checkpoint of a vision-language model, and the language model it was tuned from."""

    __tablename__ = "vlm"
    __table_args__ = (
        UniqueConstraint("name", "revision", "fingerprint", postgresql_nulls_not_distinct=True),
        {"comment": "a checkpoint of a vision-language model and its base language model"},
    )

    id: Mapped[identity]
    name: Mapped[str] = mapped_column(comment="repository or path it was loaded from")
    revision: Mapped[str | None] = mapped_column(
        comment="commit of the checkpoint in its repository; none for a local folder"
    )
    fingerprint: Mapped[str] = mapped_column(comment="hash over the weight files")
    architecture: Mapped[str] = mapped_column(comment="class in transformers")
    n_layers: Mapped[int] = mapped_column(SmallInteger, comment="decoder layers")
    d_model: Mapped[int] = mapped_column(comment="width of the residual stream")
    n_heads: Mapped[int] = mapped_column(SmallInteger, comment="query heads per layer")
    n_kv_heads: Mapped[int] = mapped_column(SmallInteger, comment="key and value heads per layer")
    base_name: Mapped[str] = mapped_column(comment="the language model before it saw images")
    base_fingerprint: Mapped[str | None] = mapped_column(
        comment="hash over the base model's weight files, if they were at hand"
    )
