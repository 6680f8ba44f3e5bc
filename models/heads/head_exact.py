"""Which attention heads are causes of a feature, by swapping them for real (5.2, C)."""

from sqlalchemy import CHAR, CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import (
    Base,
    feature_key,
    head_key,
    head_layer_key,
    layer_key,
    measurement_reference,
    run_key,
)
from feature_atlas.models.columns import Bounds, count, measured, one_of, precise
from feature_atlas.models.heads.corruption import corruption_key


class HeadExact(Base):
    """One part of one head swapped between the runs for real, beside the estimates of it."""

    __tablename__ = "head_exact"
    __table_args__ = (
        CheckConstraint("head_layer <= layer", name="head_below_feature"),
        CheckConstraint("effect_low <= effect_high", name="interval"),
        CheckConstraint("p_value <= q_value", name="correction"),
        {"comment": "exact effect of an attention head on a feature (5.2, C)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    part: Mapped[str] = one_of(
        "qk",
        "v",
        "z",
        comment="what was swapped: queries and keys together, values, or the head's whole output",
        primary_key=True,
    )
    method: Mapped[str] = mapped_column(
        CHAR(1),
        primary_key=True,
        comment="A: the corrupt run's put into the clean run; B: the clean run's into the corrupt; "
        "as the method of attribution that estimates it",
        info={"bounds": Bounds(values=("A", "B"))},
    )
    head_layer: Mapped[head_layer_key]
    head: Mapped[head_key]
    corruption: Mapped[corruption_key]
    measurement_id: Mapped[measurement_reference]
    why: Mapped[str] = one_of(
        "top",
        "random",
        "full",
        comment="why this head was patched: among the strongest by A, by B or by their mean with "
        "the QK fix; drawn from the others; or because all heads of this feature were",
    )
    effect: Mapped[float] = measured(
        "change of the feature's summed projection, mean over samples; "
        "the head drives the feature where A is below 0 and B above 0"
    )
    standard_error: Mapped[float] = measured("standard error of effect over samples", low=0)
    effect_low: Mapped[float] = measured("lower end of effect's 95 % interval, Student's t")
    effect_high: Mapped[float] = measured("upper end of effect's 95 % interval, Student's t")
    p_value: Mapped[float] = precise("t test of no effect over samples", low=0, high=1)
    q_value: Mapped[float] = precise(
        "p_value after Benjamini-Hochberg over the feature's patched heads", low=0, high=1
    )
    estimate: Mapped[float] = measured("what attribution says of this swap on the same samples")
    estimate_fix: Mapped[float | None] = measured(
        "the same with the QK fix; none: not of queries and keys"
    )
    is_causal: Mapped[bool] = mapped_column(
        comment="whether effect is there beyond chance (q_value) and has the sign of estimate"
    )
    n_samples: Mapped[int] = count("samples averaged")
