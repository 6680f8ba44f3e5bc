"""What breaks when a feature is removed (5.3, D)."""

from sqlalchemy import CheckConstraint, Integer, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.ablation.answer_effect import (
    EVALUATIONS,
    OF_EVALUATION,
    AnswerEffect,
    Interaction,
)
from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, measured, one_of, precise

INTERVENTIONS = ("directional", "mean_projection", "feature_subtraction", "base_direction")
OF_INTERVENTION = (
    "directional: the decoder direction is projected out of text tokens; mean_projection: its part "
    "becomes its mean; feature_subtraction: what the feature adds is taken where it fires; "
    "base_direction: the base dictionary's direction is projected out"
)


class Ablation(AnswerEffect, Interaction, Base):
    """One feature, or one of its controls, removed while one set of questions is answered."""

    __tablename__ = "ablation"
    __table_args__ = (
        CheckConstraint(
            "(control_no = 0 OR coalesce(control_kind, 'matched') = 'direction')"
            " = (control_feature IS NULL)",
            name="control",
        ),
        CheckConstraint("delta_low <= delta_high", name="interval"),
        CheckConstraint("margin_low <= margin_high", name="margin_interval"),
        CheckConstraint("interaction_low <= interaction_high", name="interaction_interval"),
        {"comment": "what a feature's removal does to the answers (5.3, D)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    evaluation: Mapped[str] = one_of(*EVALUATIONS, comment=OF_EVALUATION, primary_key=True)
    intervention: Mapped[str] = one_of(*INTERVENTIONS, comment=OF_INTERVENTION, primary_key=True)
    control_no: Mapped[int] = mapped_column(
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="0: the feature itself; 1 and up: its controls of the same layer",
        info={"bounds": Bounds(0)},
    )
    measurement_id: Mapped[measurement_reference]
    relation: Mapped[str | None] = mapped_column(comment="spatial relation of the statements")
    control_kind: Mapped[str | None] = one_of(
        "matched",
        "random",
        "direction",
        comment="matched: a feature that fires as often and projects as much; random: any feature "
        "of the layer, the paper's; direction: a random one, as much variance removed; NULL with a "
        "control_no above 0: matched",
    )
    control_feature: Mapped[int | None] = mapped_column(
        Integer, comment="the feature removed instead, for a control", info={"bounds": Bounds(0)}
    )
    control_p: Mapped[float | None] = precise(
        "share of the matched controls that hurt as much or more, the feature counted in; its "
        "smallest value is 1 over their number plus 1",
        low=0,
        high=1,
    )
    accuracy_mean_image: Mapped[float | None] = measured(
        "share answered rightly, untouched, the mean image embedding instead of the image",
        low=0,
        high=1,
    )
    accuracy_no_image: Mapped[float | None] = measured(
        "share answered rightly, untouched, without any image", low=0, high=1
    )
