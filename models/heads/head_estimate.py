"""Which attention heads drive a feature, by estimates beside the paper's (beside 5.2, C)."""

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
from feature_atlas.models.columns import Bounds, count, measured, one_of
from feature_atlas.models.heads.corruption import corruption_key


class HeadEstimate(Base):
    """One head's effect on one feature, estimated by another rule than the gradient at one end."""

    __tablename__ = "head_estimate"
    __table_args__ = (
        CheckConstraint("head_layer <= layer", name="head_below_feature"),
        {"comment": "effect of an attention head on a feature by further rules (beside 5.2, C)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    rule: Mapped[str] = one_of(
        "relp",
        "ig",
        "grad_drop",
        comment="relp: relevance in the place of gradients, norms, gates and patterns held fixed; "
        "ig: gradients integrated from the corrupted to the clean picture; grad_drop: mean size "
        "with one layer's write dropped at a time, with the sign of the undropped score",
        primary_key=True,
    )
    method: Mapped[str] = mapped_column(
        CHAR(1),
        primary_key=True,
        comment="A: of the clean run, (corrupted - clean); B: of the corrupted run; as in "
        "head_attribution. Of ig A = -B",
        info={"bounds": Bounds(values=("A", "B"))},
    )
    head_layer: Mapped[head_layer_key]
    head: Mapped[head_key]
    corruption: Mapped[corruption_key]
    measurement_id: Mapped[measurement_reference]
    qk: Mapped[float] = measured(
        "through queries and keys, mean over samples, raw residual units; relp: through a softmax "
        "computed anew; the head drives the feature where A is below 0 and B above 0"
    )
    v: Mapped[float] = measured("through the values, raw residual units")
    z: Mapped[float] = measured("through the head's output, raw residual units")
    standard_error: Mapped[float] = measured("standard error of qk over samples", low=0)
    n_samples: Mapped[int] = count("samples averaged")
