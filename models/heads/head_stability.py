"""Whether heads keep their places on other samples, and in other words (beside 5.2, C)."""

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import Bounds, count, measured, one_of
from feature_atlas.models.heads.attribution_agreement import ESTIMATES
from feature_atlas.models.heads.corruption import corruption_key


class HeadStability(Base):
    """How alike a feature's heads are ranked, by one estimate, where something else is drawn."""

    __tablename__ = "head_stability"
    __table_args__ = {
        "comment": "whether rankings of heads hold on other samples and in other words (beside 5.2)"
    }

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    estimate: Mapped[str] = one_of(
        *ESTIMATES, comment="of queries and keys, as in attribution_agreement", primary_key=True
    )
    corruption: Mapped[corruption_key]
    over: Mapped[str] = mapped_column(
        Text,
        primary_key=True,
        server_default="samples",
        comment="what differs between two rankings: samples, drawn anew with replacement; "
        "wordings, the same samples asked in other words (the skills' paraphrases)",
        info={"bounds": Bounds(values=("samples", "wordings"))},
    )
    measurement_id: Mapped[measurement_reference]
    spearman: Mapped[float] = measured(
        "rank correlation over all heads, mean over pairs of draws, or of wordings",
        low=-1,
        high=1,
    )
    jaccard: Mapped[float] = measured(
        "of the heads that are among the first ten in either, the share that is in both, mean",
        low=0,
        high=1,
    )
    n_samples: Mapped[int] = count("samples that rankings are made from")
    n_wordings: Mapped[int | None] = count(
        "wordings that were compared, the questions' own among them; none: over samples"
    )
