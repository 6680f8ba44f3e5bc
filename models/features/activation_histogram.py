"""How strongly a feature fires, by kind of token (beside 4.2)."""

from sqlalchemy import CheckConstraint, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, counts, one_of


class ActivationHistogram(Base):
    """One feature on the tokens of one role on which it fires, counted by strength; view
    `activation_bin` has a row a bin, with its edges.

    Of every feature that fires; where it never does on a role there is no row. About 140 bytes a
    row with its key.
    """

    __tablename__ = "activation_histogram"
    __table_args__ = (
        CheckConstraint("cardinality(n_tokens) BETWEEN 1 AND 32 - first_bin", name="bins"),
        {
            "comment": "how strongly a feature fires on each kind of token (4.2)",
            "postgresql_partition_by": "LIST (run_id)",
        },
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    role: Mapped[str] = one_of(
        "image",
        "question",
        "suffix",
        "header",
        comment="what the tokens are for, in base questions with their own image",
        primary_key=True,
    )
    measurement_id: Mapped[measurement_reference]
    first_bin: Mapped[int] = mapped_column(
        SmallInteger,
        comment="bin of the first count. Bin b begins at 2^(b/2 - 6) normalised units where b is "
        "even, at 1.5 * 2^((b-1)/2 - 6) where it is odd, and ends where the next begins; bin 0 "
        "holds all that is weaker, 31 all that is stronger",
        info={"bounds": Bounds(0, 31)},
    )
    n_tokens: Mapped[list[int]] = counts(
        "tokens on which it fires with a strength in this bin and those that follow, up to the "
        "strongest in which there are some"
    )
