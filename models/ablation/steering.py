"""What changes when a feature's direction is added: the mirror of its removal (5.3)."""

from sqlalchemy import REAL, CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.ablation.answer_effect import EVALUATIONS, OF_EVALUATION, AnswerEffect
from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, measured, one_of


class Steering(AnswerEffect, Base):
    """One feature's direction added, in one strength, while one set of questions is answered.

    Where a column says "removed", read "added".
    """

    __tablename__ = "steering"
    __table_args__ = (
        CheckConstraint("delta_low <= delta_high", name="interval"),
        CheckConstraint("margin_low <= margin_high", name="margin_interval"),
        {"comment": "what adding a feature's direction does to the answers (5.3)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    evaluation: Mapped[str] = one_of(*EVALUATIONS, comment=OF_EVALUATION, primary_key=True)
    alpha: Mapped[float] = mapped_column(
        REAL,
        primary_key=True,
        comment="strength, in the feature's mean activation where it fires; 0: nothing is added",
        info={"bounds": Bounds()},
    )
    measurement_id: Mapped[measurement_reference]
    relation: Mapped[str | None] = mapped_column(comment="spatial relation of the statements")
    length: Mapped[float] = measured("what was added at each text token")
    yes_margin_delta: Mapped[float] = measured(
        "logit of yes over no, after minus before, mean; above 0: towards yes"
    )
    yes_margin_delta_removed: Mapped[float] = measured(
        "the same for the feature's directional removal on the same questions"
    )
    mirror_correlation: Mapped[float | None] = measured(
        "Pearson correlation over questions of the margin's change here and in the removal; below "
        "0: adding undoes what removing does; NULL: one of them changes nothing",
        low=-1,
        high=1,
    )
