"""Folders that re-ingestion has looked at."""

from datetime import datetime

from sqlalchemy import DateTime, ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base
from feature_atlas.models.columns import one_of


class SaeSource(Base):
    """One place where an SAE run or a finished run folder lies, and what became of it."""

    __tablename__ = "sae_source"
    __table_args__ = ({"comment": "the ledger of re-ingestion: what lies where, and its state"},)

    uri: Mapped[str] = mapped_column(
        primary_key=True, comment="the folder: an absolute path, or a URL without credentials"
    )
    kind: Mapped[str] = one_of(
        "run_folder",
        "sae_lens_folder",
        "llama_scope_folder",
        comment="a finished run folder, or SAEs by layer in either layout",
    )
    fingerprint: Mapped[str] = mapped_column(
        comment="sha256 over the contents of its files, and over the settings it is built with"
    )
    state: Mapped[str] = one_of(
        "seen",
        "building",
        "published",
        "broken",
        comment="seen: tried again next time; broken: left alone until its content changes",
    )
    error: Mapped[str | None] = mapped_column(comment="why it is broken, or what it waits for")
    first_seen: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), comment="when this place was first seen"
    )
    last_seen: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), comment="when it was last there"
    )
    run_id: Mapped[int | None] = mapped_column(
        ForeignKey("atlas.run.id", ondelete="SET NULL"),
        comment="the run it became; none of a published one: that run was dropped",
    )
