"""Whether the base SAEs do on text of their own model what their release says (3.2)."""

from sqlalchemy.orm import Mapped

from feature_atlas.models.base import Base, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import count, measured


class GateCheck(Base):
    """One layer's base SAE on held-out text of the base language model."""

    __tablename__ = "gate_check"
    __table_args__ = {
        "comment": "base SAEs on held-out text of their own model, before anything else (3.2)"
    }

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    measurement_id: Mapped[measurement_reference]
    l0: Mapped[float] = measured("features that fire on a token, mean; under TopK at most k", low=0)
    fvu: Mapped[float] = measured(
        "fraction of variance unexplained; 0: perfect, 1: no better than the mean", low=0
    )
    share_dead: Mapped[float] = measured(
        "share of features that fired on none of the tokens", low=0, high=1
    )
    mean_norm: Mapped[float] = measured(
        "mean length of the normalised residual; sqrt(d_model) where the scale is right", low=0
    )
    n_tokens: Mapped[int] = count("held-out tokens of the base model counted, BOS left out")
    stated_l0: Mapped[float | None] = measured(
        "l0 as the release states it; NULL: it does not", low=0
    )
    stated_fvu: Mapped[float | None] = measured(
        "fvu as the release states it; NULL: it does not", low=0
    )
    stated_share_dead: Mapped[float | None] = measured(
        "share_dead as the release states it; NULL: it does not", low=0, high=1
    )
