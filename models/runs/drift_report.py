"""Comparisons of a run with the one before it."""

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, created_at
from feature_atlas.models.columns import count, precise


class DriftReport(Base):
    """One run compared with another; the features that changed are in `drift`."""

    __tablename__ = "drift_report"
    __table_args__ = (
        CheckConstraint("run_id <> against_run_id", name="two_runs"),
        {"comment": "a run compared with the run before it; its features are in drift"},
    )

    run_id: Mapped[int] = mapped_column(
        ForeignKey("atlas.run.id", ondelete="CASCADE"), primary_key=True, comment="the later run"
    )
    against_run_id: Mapped[int] = mapped_column(
        ForeignKey("atlas.run.id", ondelete="CASCADE"),
        primary_key=True,
        comment="the run it was compared with",
    )
    created_at: Mapped[created_at]
    cosine_threshold: Mapped[float] = precise(
        "decoder cosines further apart than this count as changed: no interval is known",
        low=0,
        high=2,
    )
    energy_factor: Mapped[float] = precise(
        "visual energies whose ratio is above this count as changed: no interval is known", low=1
    )
    energy_floor: Mapped[float] = precise("added to both energies before the ratio", low=0)
    n_features: Mapped[int] = count("features that both runs have")
    n_changed: Mapped[int] = count("of them, those that changed in any way")
