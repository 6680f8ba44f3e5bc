"""Directions that labels find, the rivals of features (beside 5.3)."""

from sqlalchemy import Integer
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, layer_number, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, count, measured, one_of

CONTRASTS = ("relation", "truth")
OF_CONTRAST = (
    "which training statements were told apart; relation: those of the relation from those of "
    "others; truth: the relation's true ones from its false ones"
)
METHODS = ("diff_mean", "probe")
OF_METHOD = (
    "diff_mean: from the mean residual of the one kind to that of the other; probe: weights of a "
    "logistic regression on the residuals (L2, C = 1)"
)
OF_RELATION = "spatial relation of the statements"


class SupervisedDirection(Base):
    """One direction found from labels, in the layer where its removal costs most on train."""

    __tablename__ = "supervised_direction"
    __table_args__ = {"comment": "directions found from labels, rivals of features (beside 5.3)"}

    run_id: Mapped[run_key]
    relation: Mapped[str] = mapped_column(primary_key=True, comment=OF_RELATION)
    contrast: Mapped[str] = one_of(*CONTRASTS, comment=OF_CONTRAST, primary_key=True)
    method: Mapped[str] = one_of(*METHODS, comment=OF_METHOD, primary_key=True)
    measurement_id: Mapped[measurement_reference]
    layer: Mapped[layer_number]
    n_positive: Mapped[int] = count("training statements of the relation, or true ones")
    n_negative: Mapped[int] = count("training statements of other relations, or false ones")
    accuracy_delta_train: Mapped[float] = measured(
        "accuracy on training statements of the relation, removed minus untouched: what chose the "
        "layer",
        low=-1,
        high=1,
    )
    margin_delta_train: Mapped[float] = measured(
        "logit of the right answer over the wrong on these statements, likewise: settles ties"
    )
    auc_train: Mapped[float | None] = measured(
        "chance that a training statement of the one kind lies further along the direction than "
        "one of the other, mean over its text tokens; 0.5: tells nothing",
        low=0,
        high=1,
    )
    auc_held_out: Mapped[float | None] = measured(
        "the same of held-out statements; none: all are of one kind", low=0, high=1
    )
    nearest_feature: Mapped[int] = mapped_column(
        Integer,
        comment="feature of the layer, adapted on text, whose direction is nearest",
        info={"bounds": Bounds(0)},
    )
    nearest_cosine: Mapped[float] = measured("cosine with that feature's direction", low=-1, high=1)
