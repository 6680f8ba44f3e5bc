"""Whether the model was run as it runs by itself (3.1)."""

from sqlalchemy.orm import Mapped

from feature_atlas.models.base import Base, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import count, measured, one_of


class ForwardCheck(Base):
    """One way of running the model at one layer, held against its own plain forward."""

    __tablename__ = "forward_check"
    __table_args__ = {
        "comment": "each way of running the model against its own plain forward, at the start (3.1)"
    }

    run_id: Mapped[run_key]
    piece: Mapped[str] = one_of(
        "residual",
        "remembered",
        "heads",
        "answer",
        "resumed",
        comment="residual: what statistics are taken from; remembered: the same behind the keys of "
        "a picture; heads: with attention looked into; answer: logits at the last token; resumed: "
        "these after an edit above the layer",
        primary_key=True,
    )
    layer: Mapped[layer_key]
    measurement_id: Mapped[measurement_reference]
    difference: Mapped[float] = measured(
        "greatest difference at a token, or of a prompt's logits, relative to their length", low=0
    )
    bound: Mapped[float] = measured("the difference at which the run would have stopped", low=0)
    n_prompts: Mapped[int] = count("questions with pictures that were run")
