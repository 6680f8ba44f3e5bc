"""Each answer before and after a removal (5.3, D)."""

from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import (
    Base,
    feature_key,
    layer_key,
    measurement_reference,
    run_key,
    sample_key,
)
from feature_atlas.models.columns import measured, one_of


class AblationOutcome(Base):
    """One question answered before and after one feature was removed."""

    __tablename__ = "ablation_outcome"
    __table_args__ = {"comment": "one answer before and after a feature's removal (5.3, D)"}

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    evaluation: Mapped[str] = one_of(
        "vsr_relation",
        "vqa_yes_no",
        comment="which set of questions, as in ablation",
        primary_key=True,
    )
    sample_id: Mapped[sample_key]
    measurement_id: Mapped[measurement_reference]
    label: Mapped[bool] = mapped_column(comment="whether yes is right")
    margin_before: Mapped[float] = measured("logit of yes over no, untouched; above 0: says yes")
    margin_after: Mapped[float] = measured("logit of yes over no, removed; above 0: says yes")
