"""Whether heads keep their places when samples are drawn anew (beside 5.2, C)."""

from sqlalchemy.orm import Mapped

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import count, measured, one_of
from feature_atlas.models.heads.attribution_agreement import ESTIMATES
from feature_atlas.models.heads.corruption import corruption_key


class HeadStability(Base):
    """How alike a feature's heads are ranked, by one estimate, from samples drawn anew."""

    __tablename__ = "head_stability"
    __table_args__ = {"comment": "whether rankings of heads hold on other samples (beside 5.2, C)"}

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    estimate: Mapped[str] = one_of(
        *ESTIMATES, comment="of queries and keys, as in attribution_agreement", primary_key=True
    )
    corruption: Mapped[corruption_key]
    measurement_id: Mapped[measurement_reference]
    spearman: Mapped[float] = measured(
        "rank correlation over all heads, mean over pairs of draws with replacement",
        low=-1,
        high=1,
    )
    jaccard: Mapped[float] = measured(
        "of the heads that are among the first ten in either, the share that is in both, mean",
        low=0,
        high=1,
    )
    n_samples: Mapped[int] = count("samples that rankings are made from")
