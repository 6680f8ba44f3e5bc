"""How many tokens of each kind there were, and what sinks among them carry (4.2)."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped

from feature_atlas.models.base import Base, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import count, measured, one_of


class RoleEnergy(Base):
    """All tokens of one role in one layer under one condition; the counts behind visual_energy."""

    __tablename__ = "role_energy"
    __table_args__ = (
        CheckConstraint("n_sinks <= n_tokens", name="sinks"),
        {"comment": "tokens of a role and their energy, with and without sinks (4.2)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    condition: Mapped[str] = one_of(
        "real",
        "mean",
        "none",
        comment="the question's own image, the mean embedding in its place, or no image",
        primary_key=True,
    )
    role: Mapped[str] = one_of(
        "bos",
        "prefix",
        "image",
        "question",
        "suffix",
        "header",
        "marker",
        comment="what the tokens are for",
        primary_key=True,
    )
    measurement_id: Mapped[measurement_reference]
    n_tokens: Mapped[int] = count("tokens of this role")
    n_sinks: Mapped[int] = count("of these, the ones whose residual is longer than sink_norm")
    sink_norm: Mapped[float] = measured(
        "raw norm above which a token is a sink: 10 times the layer's median with real images",
        low=0,
    )
    energy: Mapped[float] = measured(
        "squared activations of a token summed over all features, mean over its tokens, normalised "
        "units squared",
        low=0,
    )
    energy_without_sinks: Mapped[float | None] = measured(
        "the same over tokens that are no sinks; NULL: all are", low=0
    )
    sink_share: Mapped[float] = measured(
        "share of the role's energy that its sinks carry", low=0, high=1
    )
