"""The samples on which a feature fires most, some of all its activations, some at random (5.1)."""

from sqlalchemy import CheckConstraint, Index, SmallInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import (
    Base,
    feature_key,
    layer_key,
    measurement_reference,
    run_key,
    sample_reference,
)
from feature_atlas.models.columns import Bounds, measured, measured_list, one_of, words_index


class Example(Base):
    """One of a feature's samples, token by token: a strongest one, one of some quantile, any."""

    __tablename__ = "example"
    __table_args__ = (
        CheckConstraint("cardinality(tokens) = cardinality(activations)", name="tokens"),
        CheckConstraint("max_token < cardinality(tokens)", name="max_token_in_tokens"),
        Index(None, "sample_id"),
        # the token it fires on most: all tokens together are the words of the sample's question.
        # Of the strongest samples: an index of all rows would make loading slower
        words_index("ix__example__token_words", "tokens[max_token + 1]", "rank < 3"),
        {"comment": "the samples on which a feature fires most (5.1)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    source: Mapped[str] = one_of(
        "vqav2", "vsr", comment="kind of dataset the sample is from", primary_key=True
    )
    rank: Mapped[int] = mapped_column(
        SmallInteger,
        primary_key=True,
        autoincrement=False,
        comment="place among the feature's samples kept of this source; 0: strongest",
        info={"bounds": Bounds(0)},
    )
    measurement_id: Mapped[measurement_reference]
    sample_id: Mapped[sample_reference]
    max_activation: Mapped[float] = measured("largest activation on the question's tokens", low=0)
    max_token: Mapped[int] = mapped_column(
        SmallInteger, comment="index into tokens of the largest", info={"bounds": Bounds(0)}
    )
    tokens: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="the question's tokens as text")
    activations: Mapped[list[float]] = measured_list(
        "activation on each of tokens; 0: silent", low=0
    )
    quantile: Mapped[int | None] = mapped_column(
        SmallInteger,
        comment="tenth of the feature's samples in order of activation in which it lies, 0 weakest "
        "to 9; NULL: it is one of the strongest. Ranks go on from those",
        info={"bounds": Bounds(0, 9)},
    )
    draw: Mapped[int | None] = mapped_column(
        SmallInteger,
        comment="place among the feature's samples drawn at random, a picture being as likely as "
        "any on which it fires, 0 first; NULL: not drawn so. A strongest one may be drawn, too",
        info={"bounds": Bounds(0)},
    )
