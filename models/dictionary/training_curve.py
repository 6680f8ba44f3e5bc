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

ALL = "all"
ROLES = ("bos", "prefix", "image", "question", "suffix", "header", "answer", "marker")


class TrainingCurve(Base):
    """One evaluation on held-out tokens of one role, or of those that train, while an SAE adapts.

    A role whose tokens are all alike (bos) has no variance to explain, and no row.
    """

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
    role: Mapped[str] = mapped_column(
        primary_key=True,
        server_default=ALL,
        comment="held-out tokens judged; all: those of the roles that the regime trains on",
        info={"bounds": Bounds(values=(ALL, *ROLES))},
    )
    measurement_id: Mapped[measurement_reference]
    fvu: Mapped[float] = measured(
        "fraction of variance unexplained; 0: perfect, 1: no better than the mean", low=0
    )
    l0: Mapped[float] = measured("features that fire on a token, mean", low=0)
    n_tokens: Mapped[int] = count("held-out tokens evaluated")
    learning_rate: Mapped[float] = measured("step size of the optimiser at that moment", low=0)
