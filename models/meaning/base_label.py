"""What others say that a base feature means."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, feature_number, identity, layer_number
from feature_atlas.models.columns import one_of


class BaseLabel(Base):
    """One description of one feature of the base dictionary, imported; the newest counts.

    It belongs to the base SAEs, not to a run: every run that starts from them shares it.
    """

    __tablename__ = "base_label"
    __table_args__ = (
        UniqueConstraint("sae_set_id", "source", "external_id"),
        Index(None, "sae_set_id", "layer", "feature"),
        {"comment": "a description of a base feature that others wrote, imported"},
    )

    id: Mapped[identity]
    sae_set_id: Mapped[int] = mapped_column(
        ForeignKey("atlas.sae_set.id"), comment="the base SAEs that it describes"
    )
    layer: Mapped[layer_number]
    feature: Mapped[feature_number]
    description: Mapped[str] = mapped_column(comment="what the feature is said to mean")
    model: Mapped[str | None] = mapped_column(comment="the explainer's model, if it is known")
    method: Mapped[str | None] = mapped_column(
        comment="how it was explained, in the source's words, e.g. oai_token-act-pair"
    )
    source: Mapped[str] = one_of("neuronpedia", comment="where it was imported from")
    external_id: Mapped[str] = mapped_column(comment="the source's own id of the description")
    written_at: Mapped[datetime | None] = mapped_column(comment="when it was written, if known")
    imported_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), comment="when it was imported, or changed by an import"
    )
