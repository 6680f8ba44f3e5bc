"""Each answer before and after a removal (5.3, D)."""

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.ablation.ablation import INTERVENTIONS
from feature_atlas.models.ablation.answer_effect import EVALUATIONS
from feature_atlas.models.base import (
    Base,
    feature_key,
    layer_key,
    measurement_reference,
    run_key,
    sample_key,
)
from feature_atlas.models.columns import Bounds, measured, one_of


class AblationOutcome(Base):
    """One question answered before and after one feature was removed."""

    __tablename__ = "ablation_outcome"
    __table_args__ = {"comment": "one answer before and after a feature's removal (5.3, D)"}

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    evaluation: Mapped[str] = one_of(
        *EVALUATIONS, comment="which set of questions, as in ablation", primary_key=True
    )
    intervention: Mapped[str] = mapped_column(
        Text,
        primary_key=True,
        server_default="directional",
        comment="what was removed, as in ablation",
        info={"bounds": Bounds(values=INTERVENTIONS)},
    )
    sample_id: Mapped[sample_key]
    measurement_id: Mapped[measurement_reference]
    label: Mapped[bool] = mapped_column(comment="whether yes is right")
    margin_before: Mapped[float] = measured("logit of yes over no, untouched; above 0: says yes")
    margin_after: Mapped[float] = measured("logit of yes over no, removed; above 0: says yes")
    margin_mean_image: Mapped[float | None] = measured(
        "logit of yes over no, untouched, the mean image embedding instead of the image"
    )
    margin_no_image: Mapped[float | None] = measured(
        "logit of yes over no, untouched, without any image"
    )
