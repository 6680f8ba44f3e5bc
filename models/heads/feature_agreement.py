"""How well attribution patching foretells real patching of one feature's heads (5.2, C)."""

from sqlalchemy.orm import Mapped

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import count, measured, one_of
from feature_atlas.models.heads.attribution_agreement import ESTIMATES
from feature_atlas.models.heads.corruption import corruption_key


class FeatureAgreement(Base):
    """One estimate of one feature's heads beside the exact effects, all of them swapped."""

    __tablename__ = "feature_agreement"
    __table_args__ = {"comment": "attribution patching beside exact patching, by feature (5.2, C)"}

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    part: Mapped[str] = one_of(
        "qk",
        "v",
        "z",
        comment="what was swapped: queries and keys together, values, or the head's whole output",
        primary_key=True,
    )
    estimate: Mapped[str] = one_of(
        *ESTIMATES, comment="method of attribution, as in attribution_agreement", primary_key=True
    )
    corruption: Mapped[corruption_key]
    measurement_id: Mapped[measurement_reference]
    pearson: Mapped[float | None] = measured(
        "correlation of estimate and exact effect; none: one of them is constant", low=-1, high=1
    )
    spearman: Mapped[float | None] = measured("correlation of their ranks", low=-1, high=1)
    spearman_low: Mapped[float] = measured(
        "lower end of spearman's 95 % interval, samples drawn anew", low=-1, high=1
    )
    spearman_high: Mapped[float] = measured("upper end", low=-1, high=1)
    sign_agreement: Mapped[float] = measured("share of heads of the same sign", low=0, high=1)
    top_overlap: Mapped[float] = measured(
        "share of the ten strongest heads by exact effect that are among the ten strongest by "
        "estimate",
        low=0,
        high=1,
    )
    top_overlap_low: Mapped[float] = measured(
        "lower end of top_overlap's 95 % interval, likewise", low=0, high=1
    )
    top_overlap_high: Mapped[float] = measured("upper end", low=0, high=1)
    top_overlap_by_chance: Mapped[float] = measured(
        "what top_overlap would be of heads ranked by lot", low=0, high=1
    )
    n_passes: Mapped[int] = count(
        "passes of a prompt up to the feature's layer, forward and backward, that the estimate "
        "takes"
    )
    n_passes_exact: Mapped[int] = count("the same of swapping every head for real, one at a time")
    n_heads: Mapped[int] = count("heads compared")
    n_samples: Mapped[int] = count("top samples averaged over")
