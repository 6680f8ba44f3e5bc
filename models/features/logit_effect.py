"""Which tokens a feature writes (beside 4.2)."""

from sqlalchemy import CheckConstraint, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import counts, measured_list

EFFECT = (
    "what a unit of activation adds to each of these tokens' logits, less the mean over all "
    "tokens, in a residual of root mean square 1 and before a soft cap; {} first"
)


class LogitEffect(Base):
    """The tokens that one feature's direction makes likelier, and less likely, by itself.

    The text-adapted decoder row through the final norm's gain and the unembedding, past all later
    layers (direct logit attribution). Of every feature that fires on the base questions; about 560
    bytes a row with its key.
    """

    __tablename__ = "logit_effect"
    __table_args__ = (
        CheckConstraint(
            "cardinality(top_token_ids) = cardinality(top_tokens)"
            " AND cardinality(top_tokens) = cardinality(top_effects)",
            name="top",
        ),
        CheckConstraint(
            "cardinality(bottom_token_ids) = cardinality(bottom_tokens)"
            " AND cardinality(bottom_tokens) = cardinality(bottom_effects)",
            name="bottom",
        ),
        {
            "comment": "which tokens a feature's direction makes likelier, and less likely (4.2)",
            "postgresql_partition_by": "LIST (run_id)",
        },
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    measurement_id: Mapped[measurement_reference]
    top_token_ids: Mapped[list[int]] = counts("ids of the tokens that it makes likeliest")
    top_tokens: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="these tokens as text")
    top_effects: Mapped[list[float]] = measured_list(EFFECT.format("largest"))
    bottom_token_ids: Mapped[list[int]] = counts("ids of those that it makes least likely")
    bottom_tokens: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="these tokens as text")
    bottom_effects: Mapped[list[float]] = measured_list(EFFECT.format("smallest"))
