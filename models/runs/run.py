"""Versions of the atlas."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, created_at, identity
from feature_atlas.models.columns import one_of


class Run(Base):
    """One version of the atlas for one (VLM, set of SAEs); once published it never changes."""

    __tablename__ = "run"
    __table_args__ = (
        UniqueConstraint("config_hash"),
        CheckConstraint("config_hash ~ '^[0-9a-f]{64}$'", name="config_hash"),
        CheckConstraint(
            "(state IN ('published', 'superseded')) = (published_at IS NOT NULL)",
            name="published_at",
        ),
        Index(None, "state", "published_at"),
        {"comment": "a version of the atlas for one VLM and one set of SAEs"},
    )

    id: Mapped[identity]
    slug: Mapped[str] = mapped_column(comment="name of the run folder")
    config: Mapped[dict[str, Any]] = mapped_column(comment="every setting of the run")
    config_hash: Mapped[str] = mapped_column(
        comment="sha256 of the settings and inputs, hexadecimal"
    )
    parent_id: Mapped[int | None] = mapped_column(
        ForeignKey("atlas.run.id"), comment="the run that this one superseded"
    )
    vlm_id: Mapped[int] = mapped_column(ForeignKey("atlas.vlm.id"), comment="the model studied")
    sae_set_id: Mapped[int] = mapped_column(
        ForeignKey("atlas.sae_set.id"), comment="the base SAEs it starts from"
    )
    code_version: Mapped[str] = mapped_column(comment="git commit, or version of the package")
    dirty: Mapped[bool] = mapped_column(comment="whether the code had uncommitted changes")
    state: Mapped[str] = one_of(
        "building",
        "published",
        "superseded",
        "failed",
        comment="building -> published <-> superseded, or failed -> building",
    )
    created_at: Mapped[created_at]
    published_at: Mapped[datetime | None] = mapped_column(
        comment="when readers saw it as the published run: at first, or when it was promoted again"
    )
    n_layers: Mapped[int] = mapped_column(SmallInteger, comment="layers that have an SAE")
    d_sae: Mapped[int] = mapped_column(comment="features per layer")
    checksum: Mapped[str] = mapped_column(comment="sha256 over the hashes of all files of the run")
