"""What changes when a direction that labels found is added (beside 5.3)."""

from sqlalchemy import REAL, CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.ablation.answer_effect import AnswerEffect
from feature_atlas.models.ablation.supervised_direction import (
    CONTRASTS,
    METHODS,
    OF_CONTRAST,
    OF_METHOD,
    OF_RELATION,
)
from feature_atlas.models.base import Base, layer_number, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, measured, one_of


class SupervisedSteering(AnswerEffect, Base):
    """One supervised direction added, in one strength, to test statements of its relation.

    Where a column says "removed", read "added".
    """

    __tablename__ = "supervised_steering"
    __table_args__ = (
        CheckConstraint("delta_low <= delta_high", name="interval"),
        CheckConstraint("margin_low <= margin_high", name="margin_interval"),
        {"comment": "what adding a direction found from labels does to the answers (beside 5.3)"},
    )

    run_id: Mapped[run_key]
    relation: Mapped[str] = mapped_column(primary_key=True, comment=OF_RELATION)
    contrast: Mapped[str] = one_of(*CONTRASTS, comment=OF_CONTRAST, primary_key=True)
    method: Mapped[str] = one_of(*METHODS, comment=OF_METHOD, primary_key=True)
    alpha: Mapped[float] = mapped_column(
        REAL,
        primary_key=True,
        comment="strength, in standard deviations of the residual's part along the direction over "
        "text tokens; 0: nothing is added",
        info={"bounds": Bounds()},
    )
    measurement_id: Mapped[measurement_reference]
    layer: Mapped[layer_number]
    length: Mapped[float] = measured("what was added at each text token")
    yes_margin_delta: Mapped[float] = measured(
        "logit of yes over no, after minus before, mean; above 0: towards yes"
    )
    yes_margin_delta_removed: Mapped[float] = measured(
        "the same for the direction's removal on the same questions"
    )
    mirror_correlation: Mapped[float | None] = measured(
        "Pearson correlation over questions of the margin's change here and in the removal; below "
        "0: adding undoes what removing does; NULL: one of them changes nothing",
        low=-1,
        high=1,
    )
