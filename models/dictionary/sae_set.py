"""The base SAEs, one per layer, that the study starts from."""

from sqlalchemy import CheckConstraint, SmallInteger, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY, REAL
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, identity


class SaeSet(Base):
    """One release of base SAEs: the same recipe at several layers of the base model."""

    __tablename__ = "sae_set"
    __table_args__ = (
        UniqueConstraint("name", "release", "fingerprint"),
        CheckConstraint("gate IN ('topk', 'topk_before_norms', 'threshold', 'relu')", name="gate"),
        CheckConstraint("(k IS NULL) = (threshold IS NOT NULL)", name="k_or_threshold"),
        {"comment": "a release of base SAEs, one per layer (3.1)"},
    )

    id: Mapped[identity]
    name: Mapped[str] = mapped_column(comment="what the release is called here")
    release: Mapped[str] = mapped_column(comment="release or path the SAEs were loaded from")
    fingerprint: Mapped[str] = mapped_column(comment="hash over the weight files")
    gate: Mapped[str] = mapped_column(
        comment="which pre-activations survive; topk: the k largest, decoder norms multiplied in; "
        "topk_before_norms: the k largest as they are; threshold: all above their feature's; "
        "relu: all above 0"
    )
    k: Mapped[int | None] = mapped_column(
        comment="features that may fire on one token; NULL: any number"
    )
    threshold: Mapped[list[float] | None] = mapped_column(
        ARRAY(REAL),
        comment="median threshold of the features of each layer of layers, in normalised "
        "pre-activations; NULL: topk",
    )
    d_sae: Mapped[int] = mapped_column(comment="features per layer")
    d_model: Mapped[int] = mapped_column(comment="width of the residual stream")
    hook_site: Mapped[str] = mapped_column(comment="where the SAE reads, e.g. resid_post")
    layers: Mapped[list[int]] = mapped_column(
        ARRAY(SmallInteger), comment="decoder layers that have an SAE, 0-based"
    )
    activation_scale: Mapped[list[float]] = mapped_column(
        ARRAY(REAL), comment="factor from raw to normalised residual, one per layer of layers"
    )
