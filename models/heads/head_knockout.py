"""What breaks when a feature's strongest heads are knocked out (5.2, C; 5.3)."""

from sqlalchemy import CheckConstraint, SmallInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.ablation.answer_effect import Answered
from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, count, measured, one_of, precise
from feature_atlas.models.heads.corruption import corruption_key


class HeadKnockout(Answered, Base):
    """Some heads taken from the corrupt run while statements of a relation are judged."""

    __tablename__ = "head_knockout"
    __table_args__ = (
        CheckConstraint("delta_low <= delta_high", name="interval"),
        CheckConstraint(
            "projection_delta_low <= projection_delta_high", name="projection_interval"
        ),
        CheckConstraint("(control_no = 0) = (q_value IS NOT NULL)", name="control"),
        {"comment": "what knocking out a feature's heads does to it and to the answers (5.2, 5.3)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    part: Mapped[str] = one_of(
        "qk",
        "z",
        comment="what the heads take from the corrupt run: queries and keys, or the whole output",
        primary_key=True,
    )
    control_no: Mapped[int] = mapped_column(
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="0: the feature's strongest heads; 1 and up: random heads that look at the picture "
        "as much",
        info={"bounds": Bounds(0)},
    )
    corruption: Mapped[corruption_key]
    measurement_id: Mapped[measurement_reference]
    relation: Mapped[str] = mapped_column(comment="spatial relation of the statements")
    heads: Mapped[list[str]] = mapped_column(
        ARRAY(Text), comment="the heads, layer and number, e.g. L3H5; the strongest first"
    )
    image_mass: Mapped[float] = measured(
        "share of their attention that goes from text to the picture, mean", low=0, high=1
    )
    projection_before: Mapped[float] = measured(
        "residual on the feature's unit direction, mean over text tokens, untouched"
    )
    projection_after: Mapped[float] = measured("the same, knocked out")
    projection_corrupt: Mapped[float] = measured(
        "the same in the corrupt run, with all of the corruption in the picture's place"
    )
    projection_delta_low: Mapped[float] = measured(
        "lower end of the 95 % interval of projection_after - projection_before, bootstrap over "
        "images"
    )
    projection_delta_high: Mapped[float] = measured("upper end of that interval")
    activation_before: Mapped[float] = measured(
        "the feature's activation, mean over text tokens, untouched", low=0
    )
    activation_after: Mapped[float] = measured("the same, knocked out", low=0)
    activation_corrupt: Mapped[float] = measured("the same in the corrupt run", low=0)
    accuracy_after: Mapped[float] = measured("share answered rightly, knocked out", low=0, high=1)
    delta_accuracy: Mapped[float] = measured(
        "after minus before; below 0: the knock-out hurts", low=-1, high=1
    )
    right_to_wrong: Mapped[int] = count("answers that the knock-out broke")
    wrong_to_right: Mapped[int] = count("answers that the knock-out mended")
    q_value: Mapped[float | None] = precise(
        "mcnemar_p after Benjamini-Hochberg over features; none: a control", low=0, high=1
    )
    margin_low: Mapped[float] = measured(
        "lower end of the 95 % interval of margin_delta, bootstrap over images"
    )
    margin_high: Mapped[float] = measured(
        "upper end of the 95 % interval of margin_delta, bootstrap over images"
    )
    yes_rate_after: Mapped[float] = measured("share answered yes, knocked out", low=0, high=1)
    balanced_accuracy_after: Mapped[float] = measured(
        "mean of the recalls of yes and no, knocked out", low=0, high=1
    )
