"""How well the adapting SAEs reconstruct, as training goes on (A.2)."""

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import (
    Base,
    layer_key,
    measurement_reference,
    regime_key,
    run_key,
)
from feature_atlas.models.columns import Bounds, count, measured


class TrainingCurve(Base):
    """One evaluation on held-out tokens while an SAE adapts."""

    __tablename__ = "training_curve"
    __table_args__ = {"comment": "reconstruction on held-out tokens during adaptation (A.2)"}

    run_id: Mapped[run_key]
    regime_id: Mapped[regime_key]
    layer: Mapped[layer_key]
    tokens_seen: Mapped[int] = mapped_column(
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="training tokens so far; 0: the base SAE",
        info={"bounds": Bounds(0)},
    )
    measurement_id: Mapped[measurement_reference]
    fvu: Mapped[float] = measured(
        "fraction of variance unexplained; 0: perfect, 1: no better than the mean", low=0
    )
    l0: Mapped[float] = measured("features that fire on a token, mean", low=0)
    n_tokens: Mapped[int] = count("held-out tokens evaluated")
    learning_rate: Mapped[float] = measured("step size of the optimiser at that moment", low=0)
