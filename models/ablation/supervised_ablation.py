"""What breaks without a direction that labels found, beside a feature (beside 5.3)."""

from sqlalchemy import CheckConstraint, Integer, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.ablation.answer_effect import (
    EVALUATIONS,
    OF_EVALUATION,
    AnswerEffect,
    Interaction,
)
from feature_atlas.models.ablation.supervised_direction import (
    CONTRASTS,
    METHODS,
    OF_CONTRAST,
    OF_METHOD,
    OF_RELATION,
)
from feature_atlas.models.base import Base, layer_number, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, measured, one_of, precise


class SupervisedAblation(AnswerEffect, Interaction, Base):
    """One supervised direction, or a control, removed while one set of questions is answered."""

    __tablename__ = "supervised_ablation"
    __table_args__ = (
        CheckConstraint("(control_no = 0) = (control_kind IS NULL)", name="control"),
        CheckConstraint("delta_low <= delta_high", name="interval"),
        CheckConstraint("margin_low <= margin_high", name="margin_interval"),
        CheckConstraint("interaction_low <= interaction_high", name="interaction_interval"),
        CheckConstraint("delta_less_feature_low <= delta_less_feature_high", name="compared"),
        {"comment": "what the removal of a direction found from labels does (beside 5.3)"},
    )

    run_id: Mapped[run_key]
    relation: Mapped[str] = mapped_column(primary_key=True, comment=OF_RELATION)
    contrast: Mapped[str] = one_of(*CONTRASTS, comment=OF_CONTRAST, primary_key=True)
    method: Mapped[str] = one_of(*METHODS, comment=OF_METHOD, primary_key=True)
    evaluation: Mapped[str] = one_of(*EVALUATIONS, comment=OF_EVALUATION, primary_key=True)
    control_no: Mapped[int] = mapped_column(
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="0: the direction itself; 1 and up: its controls of the same layer",
        info={"bounds": Bounds(0)},
    )
    measurement_id: Mapped[measurement_reference]
    layer: Mapped[layer_number]
    control_kind: Mapped[str | None] = one_of(
        "shuffled",
        "direction",
        comment="shuffled: found likewise after labels were shuffled; direction: a random one; of "
        "both as much variance is removed",
    )
    control_p: Mapped[float | None] = precise(
        "share of the controls that hurt as much or more, the direction counted in; its smallest "
        "value is 1 over their number plus 1",
        low=0,
        high=1,
    )
    compared_layer: Mapped[int | None] = mapped_column(
        SmallInteger,
        comment="layer of the relation's removed feature that costs most on training statements",
        info={"bounds": Bounds(0)},
    )
    compared_feature: Mapped[int | None] = mapped_column(
        Integer, comment="that feature", info={"bounds": Bounds(0)}
    )
    delta_less_feature: Mapped[float | None] = measured(
        "delta_accuracy less that of the feature's removal, on the same questions; below 0: this "
        "direction breaks more",
        low=-2,
        high=2,
    )
    delta_less_feature_low: Mapped[float | None] = measured(
        "lower end of its 95 % interval, paired, bootstrap over images", low=-2, high=2
    )
    delta_less_feature_high: Mapped[float | None] = measured(
        "upper end of its 95 % interval", low=-2, high=2
    )
