"""What breaks when a feature is removed (5.3, D)."""

from sqlalchemy import CheckConstraint, Integer, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, count, measured, one_of, precise


class Ablation(Base):
    """One feature, or one of its controls, removed while one set of questions is answered."""

    __tablename__ = "ablation"
    __table_args__ = (
        CheckConstraint("(control_no = 0) = (control_feature IS NULL)", name="control"),
        CheckConstraint("delta_low <= delta_high", name="interval"),
        {"comment": "what a feature's removal does to the answers (5.3, D)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    evaluation: Mapped[str] = one_of(
        "vsr_relation",
        "vqa_yes_no",
        comment="vsr_relation: statements of the feature's relation; vqa_yes_no: general questions",
        primary_key=True,
    )
    control_no: Mapped[int] = mapped_column(
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="0: the feature itself; 1 and up: its random controls of the same layer",
        info={"bounds": Bounds(0)},
    )
    measurement_id: Mapped[measurement_reference]
    relation: Mapped[str | None] = mapped_column(comment="spatial relation of the statements")
    intervention: Mapped[str] = one_of(
        "directional", comment="directional: the decoder direction is projected out of text tokens"
    )
    control_feature: Mapped[int | None] = mapped_column(
        Integer, comment="the feature removed instead, for a control", info={"bounds": Bounds(0)}
    )
    seed: Mapped[int] = mapped_column(Integer, comment="random seed of controls and bootstrap")
    n_samples: Mapped[int] = count("questions answered, each before and after")
    accuracy_before: Mapped[float] = measured("share answered rightly, untouched", low=0, high=1)
    accuracy_after: Mapped[float] = measured("share answered rightly, removed", low=0, high=1)
    delta_accuracy: Mapped[float] = measured(
        "after minus before, as a fraction; below 0: the removal hurts", low=-1, high=1
    )
    delta_low: Mapped[float] = measured(
        "lower end of its 95 % interval, bootstrap over images", low=-1, high=1
    )
    delta_high: Mapped[float] = measured(
        "upper end of its 95 % interval, bootstrap over images", low=-1, high=1
    )
    right_to_wrong: Mapped[int] = count("answers that the removal broke")
    wrong_to_right: Mapped[int] = count("answers that the removal mended")
    mcnemar_p: Mapped[float] = precise("exact McNemar p of no change", low=0, high=1)
    q_value: Mapped[float | None] = precise(
        "mcnemar_p after Benjamini-Hochberg over the run's ablated features", low=0, high=1
    )
    probability_delta: Mapped[float] = measured(
        "probability of the right answer, after minus before, mean", low=-1, high=1
    )
    margin_delta: Mapped[float] = measured(
        "logit of the right answer over the wrong, after minus before, mean"
    )
    yes_rate_before: Mapped[float] = measured("share answered yes, untouched", low=0, high=1)
    yes_rate_after: Mapped[float] = measured("share answered yes, removed", low=0, high=1)
    balanced_accuracy_before: Mapped[float] = measured(
        "mean of the recalls of yes and no, untouched", low=0, high=1
    )
    balanced_accuracy_after: Mapped[float] = measured(
        "mean of the recalls of yes and no, removed", low=0, high=1
    )
    removed_norm: Mapped[float] = measured(
        "length of what was removed over length of the residual, mean over tokens", low=0
    )
