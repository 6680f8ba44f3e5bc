"""Executions of stages: where every number comes from."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, identity
from feature_atlas.models.columns import count


class Measurement(Base):
    """One execution of one stage of a run. Every fact row belongs to one."""

    __tablename__ = "measurement"
    __table_args__ = (
        UniqueConstraint("run_id", "stage", "params_hash"),
        CheckConstraint("started_at <= finished_at", name="duration"),
        {"comment": "an execution of one stage of a run: the provenance of its rows"},
    )

    id: Mapped[identity]
    run_id: Mapped[int] = mapped_column(
        ForeignKey("atlas.run.id"), comment="the run this row belongs to"
    )
    stage: Mapped[str] = mapped_column(comment="name of the stage")
    params: Mapped[dict[str, Any]] = mapped_column(comment="the stage's settings")
    params_hash: Mapped[str] = mapped_column(comment="hash of the settings")
    input_fingerprint: Mapped[str] = mapped_column(comment="hash of everything the stage read")
    inputs: Mapped[dict[str, Any]] = mapped_column(
        server_default=text("'{}'"),
        comment="fingerprints of what it read, by name: the model, the SAEs, each dataset, "
        "the stages before it",
    )
    seeds: Mapped[list[int]] = mapped_column(ARRAY(Integer), comment="random seeds used")
    device: Mapped[str] = mapped_column(comment="where it ran, e.g. cpu or cuda:0")
    code_version: Mapped[str] = mapped_column(comment="git commit, or version of the package")
    dirty: Mapped[bool] = mapped_column(comment="whether the code had uncommitted changes")
    libraries: Mapped[dict[str, Any]] = mapped_column(comment="versions of the libraries used")
    started_at: Mapped[datetime] = mapped_column(comment="when it began")
    finished_at: Mapped[datetime] = mapped_column(comment="when it ended")
    rows: Mapped[int] = count("rows it produced, over all tables")
    peak_main_bytes: Mapped[int | None] = count(
        "largest resident size in bytes of the process while it ran; NULL: not known, as on "
        "systems that do not say, and for runs of before"
    )
    peak_device_bytes: Mapped[int | None] = count(
        "most bytes of tensors on a card while it ran, of the fullest; NULL: it ran on a CPU, or "
        "it is a run of before"
    )
    checksum: Mapped[str] = mapped_column(comment="sha256 over the hashes of its files")
    warnings: Mapped[list[str]] = mapped_column(
        ARRAY(Text),
        server_default=text("'{}'"),
        comment="what a reader of its numbers must know, in sentences",
    )
    added_at: Mapped[datetime | None] = mapped_column(
        comment="when it joined a run that was already published; NULL: part of the first "
        "publication"
    )
