"""Whether adding what a feature writes makes the model say it (beside 5.1 and 5.3)."""

from sqlalchemy import CheckConstraint, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import Base, feature_key, layer_key, measurement_reference, run_key
from feature_atlas.models.columns import count, measured, one_of


class OutputScore(Base):
    """One feature's direction added after neutral prompts, and how much some tokens are said."""

    __tablename__ = "output_score"
    __table_args__ = (
        CheckConstraint("output_score_gain_low <= output_score_gain_high", name="interval"),
        CheckConstraint(
            "log_probability_gain_low <= log_probability_gain_high", name="ratio_interval"
        ),
        {"comment": "whether adding a feature's direction makes the model say it (5.1, 5.3)"},
    )

    run_id: Mapped[run_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    tokens_of: Mapped[str] = one_of(
        *("logits", "label"),
        comment="which tokens T. logits: those that its direction makes likeliest by itself "
        "(logit_effect); label: the words of its best description, as far as they are tokens",
        primary_key=True,
    )
    measurement_id: Mapped[measurement_reference]
    tokens: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="T as text")
    alpha: Mapped[float] = measured(
        "what was added at every text token, in the feature's mean activation where it fires"
    )
    length: Mapped[float] = measured("the same as a length of the residual")
    n_prompts: Mapped[int] = count("neutral prompts, each about one picture")
    n_controls: Mapped[int] = count(
        "other features of the layer, matched in firing rate and projection, whose directions were "
        "added in the same length"
    )
    output_score: Mapped[float] = measured(
        "(1 - r / |V|) p with the direction added, mean over prompts: p the largest probability of "
        "a token of T, r how many tokens are likelier, |V| the vocabulary; 1: T is said, whatever "
        "is asked",
        low=0,
        high=1,
    )
    output_score_before: Mapped[float] = measured("the same with nothing added", low=0, high=1)
    output_score_control: Mapped[float | None] = measured(
        "the same with the controls' directions added, mean over controls; none: no control",
        low=0,
        high=1,
    )
    output_score_gain_low: Mapped[float | None] = measured(
        "lower end of the 95 % interval of output_score - output_score_control, over pictures",
        low=-1,
        high=1,
    )
    output_score_gain_high: Mapped[float | None] = measured(
        "upper end of the 95 % interval of output_score - output_score_control", low=-1, high=1
    )
    log_probability_before: Mapped[float] = measured(
        "log of the probability of T together with nothing added, mean over prompts"
    )
    log_probability_delta: Mapped[float] = measured(
        "the same with the direction added, less without; above 0: T is said more"
    )
    log_probability_control: Mapped[float | None] = measured(
        "log_probability_delta of the controls' directions, mean over controls; none: no control"
    )
    log_probability_gain_low: Mapped[float | None] = measured(
        "lower end of the 95 % interval of log_probability_delta - log_probability_control, over "
        "pictures"
    )
    log_probability_gain_high: Mapped[float | None] = measured(
        "upper end of the 95 % interval of log_probability_delta - log_probability_control"
    )
