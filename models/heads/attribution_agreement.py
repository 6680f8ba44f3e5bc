"""How well attribution patching foretells real patching (5.2, C)."""

from sqlalchemy.orm import Mapped

from feature_atlas.models.base import Base, measurement_reference, run_key
from feature_atlas.models.columns import count, measured, one_of
from feature_atlas.models.heads.corruption import corruption_key

ESTIMATES = tuple(
    way + rule for rule in ("", "_fix", "_relp", "_ig", "_grad_drop") for way in ("A", "B", "mean")
)
"""Names of estimates: which method, and by which rule beside the gradient."""


class AttributionAgreement(Base):
    """One estimate of heads' effects beside the exact ones, over all heads of some features."""

    __tablename__ = "attribution_agreement"
    __table_args__ = {"comment": "attribution patching beside exact patching (5.2, C)"}

    run_id: Mapped[run_key]
    part: Mapped[str] = one_of(
        "qk",
        "v",
        "z",
        comment="what was swapped: queries and keys together, values, or the head's whole output",
        primary_key=True,
    )
    estimate: Mapped[str] = one_of(
        *ESTIMATES,
        comment="method of attribution; mean: of B and -A; fix: with the softmax computed anew; "
        "relp, ig, grad_drop: rules of head_estimate",
        primary_key=True,
    )
    scope: Mapped[str] = one_of(
        "all",
        "within_layer",
        "within_feature",
        comment="all: over all pairs of feature and head; within_layer: mean over layers of what "
        "it is among the features of one layer; within_feature: mean over features of what it is "
        "among a feature's heads",
        primary_key=True,
    )
    corruption: Mapped[corruption_key]
    measurement_id: Mapped[measurement_reference]
    pearson: Mapped[float | None] = measured(
        "correlation of estimate and exact effect; none: one of them is constant", low=-1, high=1
    )
    spearman: Mapped[float | None] = measured("correlation of their ranks", low=-1, high=1)
    sign_agreement: Mapped[float] = measured("share of pairs of the same sign", low=0, high=1)
    top_overlap: Mapped[float] = measured(
        "share of a feature's ten strongest heads by exact effect that are among its ten strongest "
        "by estimate, mean over features",
        low=0,
        high=1,
    )
    top_overlap_by_chance: Mapped[float] = measured(
        "what top_overlap would be of heads ranked by lot", low=0, high=1
    )
    spearman_low: Mapped[float | None] = measured(
        "lower end of spearman's 95 % interval, samples drawn anew; none: another scope than "
        "within_feature",
        low=-1,
        high=1,
    )
    spearman_high: Mapped[float | None] = measured("upper end", low=-1, high=1)
    top_overlap_low: Mapped[float | None] = measured(
        "lower end of top_overlap's 95 % interval, likewise", low=0, high=1
    )
    top_overlap_high: Mapped[float | None] = measured("upper end", low=0, high=1)
    n_passes: Mapped[float | None] = measured(
        "passes of a prompt up to the feature's layer, forward and backward, that the estimate "
        "takes for one feature, mean over features; none: not counted",
        low=0,
    )
    n_passes_exact: Mapped[float | None] = measured(
        "the same of swapping every head for real, one at a time", low=0
    )
    n_features: Mapped[int] = count("features whose heads were all patched")
    n_pairs: Mapped[int] = count("pairs of feature and head compared")
    n_samples: Mapped[int] = count("top samples of a feature averaged over, at most")
