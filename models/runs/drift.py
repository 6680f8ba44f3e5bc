"""Features that changed between two runs."""

from sqlalchemy import ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, feature_key, layer_key
from feature_atlas.models.columns import measured, one_of


class Drift(Base):
    """One way in which one feature changed, as it was when the report was written."""

    __tablename__ = "drift"
    __table_args__ = (
        ForeignKeyConstraint(
            ["run_id", "against_run_id"],
            ["atlas.drift_report.run_id", "atlas.drift_report.against_run_id"],
            ondelete="CASCADE",
        ),
        {"comment": "a feature that changed between two runs, one row per kind of change"},
    )

    run_id: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="the later run"
    )
    against_run_id: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="the run it was compared with"
    )
    kind: Mapped[str] = one_of(
        "cosine",
        "visual_energy",
        "spatial_odds_ratio",
        "ocr_odds_ratio",
        "ablation",
        "label",
        "newly_adapted",
        "no_longer_adapted",
        "newly_spatial",
        "no_longer_spatial",
        "newly_ocr",
        "no_longer_ocr",
        comment="what changed: beyond a threshold (cosine, visual_energy), beyond both 95 % "
        "intervals (odds ratios, ablation), another label, or a set entered or left",
        primary_key=True,
    )
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    value_before: Mapped[float | None] = measured("the measure in the run before")
    value_after: Mapped[float | None] = measured("the measure in the later run")
    change: Mapped[float | None] = measured(
        "after minus before (cosine, ablation), or log of after over before (energy, odds ratios)"
    )
    label_before: Mapped[str | None] = mapped_column(
        comment="the description in the run before, of a changed label"
    )
    label_after: Mapped[str | None] = mapped_column(
        comment="the description in the later run, of a changed label"
    )
