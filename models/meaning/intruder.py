"""Whether the samples of a feature belong together, without words (beside 5.1)."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import count, measured, one_of, precise


class Intruder(Base):
    """How often one judge finds the sample of another feature among four of this one."""

    __tablename__ = "intruder"
    __table_args__ = (
        CheckConstraint("n_right <= n_trials AND n_failed <= n_trials", name="trials"),
        CheckConstraint("accuracy_low <= accuracy_high", name="interval"),
        {"comment": "whether a feature's samples belong together: intruder detection (5.1)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    judge: Mapped[str] = one_of(
        *("words", "embedding", "openai"),
        comment="who looks: equal words, an embedding model, or a language model's endpoint",
        primary_key=True,
    )
    model: Mapped[str] = mapped_column(primary_key=True, comment="the judge's model")
    measurement_id: Mapped[measurement_reference]
    n_trials: Mapped[int] = count("times five samples were shown, one of them an intruder")
    n_right: Mapped[int] = count("times the intruder was found")
    n_failed: Mapped[int] = count("times no answer could be read; they count as wrong")
    accuracy: Mapped[float] = measured("n_right / n_trials; 0.2: chance", low=0, high=1)
    accuracy_low: Mapped[float] = measured(
        "lower end of its 95 % interval (Wilson), of other trials with these samples", low=0, high=1
    )
    accuracy_high: Mapped[float] = measured("upper end of its 95 % interval", low=0, high=1)
    chance_p: Mapped[float] = precise(
        "P of as many found by pointing at random: binomial, one-sided", low=0, high=1
    )
    tokens_used: Mapped[int] = count("tokens billed, prompts and replies; 0 without an endpoint")
    cost_usd: Mapped[float | None] = measured("what it cost, if known", low=0)
