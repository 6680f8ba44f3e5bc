"""What of a feature's effect is the linear code of places (beside 5.3)."""

from sqlalchemy import CheckConstraint, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.ablation.answer_effect import AnswerEffect
from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, measured, one_of

REMOVED = ("feature", "outside", "code", "both")
OF_REMOVED = (
    "feature: its direction v; outside: what of v is orthogonal to the code U of its layer; code: "
    "the two directions of U; both: U and v"
)


class SpatialCodeAblation(AnswerEffect, Base):
    """A feature, its layer's code of places, or both removed on test statements of its relation."""

    __tablename__ = "spatial_code_ablation"
    __table_args__ = (
        CheckConstraint("delta_low <= delta_high", name="interval"),
        CheckConstraint("margin_low <= margin_high", name="margin_interval"),
        CheckConstraint(
            "remaining_accuracy_low <= remaining_accuracy_high", name="remaining_accuracy_interval"
        ),
        CheckConstraint(
            "remaining_margin_low <= remaining_margin_high", name="remaining_margin_interval"
        ),
        {"comment": "what of a feature's effect is the linear code of places (beside 5.3)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    removed: Mapped[str] = one_of(*REMOVED, comment=OF_REMOVED, primary_key=True)
    control_no: Mapped[int] = mapped_column(
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="0: with the code; 1 and up: with one made of places that were dealt out anew",
        info={"bounds": Bounds(0)},
    )
    measurement_id: Mapped[measurement_reference]
    relation: Mapped[str] = mapped_column(comment="spatial relation of the statements")
    code_share: Mapped[float] = measured(
        "of the squared length of the feature's direction, what lies in the code; by chance 2 over "
        "the model's width",
        low=0,
        high=1,
    )
    remaining_accuracy: Mapped[float | None] = measured(
        "outside: delta_accuracy over that of the feature; both: delta_accuracy less that of the "
        "code, over that of the feature; 1: the effect is not the code's, 0: it is; NULL: the "
        "feature's interval holds 0, or another removal"
    )
    remaining_accuracy_low: Mapped[float | None] = measured(
        "lower end of its 95 % interval, paired, bootstrap over images"
    )
    remaining_accuracy_high: Mapped[float | None] = measured("upper end of its 95 % interval")
    remaining_margin: Mapped[float | None] = measured("the same of margin_delta")
    remaining_margin_low: Mapped[float | None] = measured(
        "lower end of its 95 % interval, paired, bootstrap over images"
    )
    remaining_margin_high: Mapped[float | None] = measured("upper end of its 95 % interval")
