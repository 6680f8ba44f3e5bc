"""What breaks when several features are removed together, few and many (5.3)."""

from sqlalchemy import CheckConstraint, Integer, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.ablation.answer_effect import EVALUATIONS, OF_EVALUATION, AnswerEffect
from feature_atlas.models.base import Base, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, one_of

KINDS = ("layer", "relation")
OF_KIND = "layer: all spatial survivors of a layer; relation: all whose top statements have it"
OF_NAME = "the layer's number, or the relation"
OF_CONTROL = "0: the group itself; 1 and up: sets of as many matched features of the same layers"


class AblationGroup(AnswerEffect, Base):
    """The strongest features of a group, or a matched set, removed while questions are answered."""

    __tablename__ = "ablation_group"
    __table_args__ = (
        CheckConstraint("delta_low <= delta_high", name="interval"),
        CheckConstraint("margin_low <= margin_high", name="margin_interval"),
        {"comment": "what the removal of several features together does to the answers (5.3)"},
    )

    run_id: Mapped[run_key]
    kind: Mapped[str] = one_of(*KINDS, comment=OF_KIND, primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True, comment=OF_NAME)
    evaluation: Mapped[str] = one_of(*EVALUATIONS, comment=OF_EVALUATION, primary_key=True)
    n_features: Mapped[int] = mapped_column(
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="features removed together, the strongest on training statements first",
        info={"bounds": Bounds(1)},
    )
    control_no: Mapped[int] = mapped_column(
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment=OF_CONTROL,
        info={"bounds": Bounds(0)},
    )
    measurement_id: Mapped[measurement_reference]
