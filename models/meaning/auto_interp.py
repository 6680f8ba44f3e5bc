"""What a feature means, said by an explainer and scored on held-out samples (5.1, B)."""

from sqlalchemy import Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import (
    Base,
    feature_number,
    identity,
    layer_number,
    measurement_reference,
    run_reference,
)
from feature_atlas.models.columns import count, measured, one_of, precise, words_index


class AutoInterp(Base):
    """One description of one feature by one explainer, and how well it predicts firing."""

    __tablename__ = "auto_interp"
    __table_args__ = (
        UniqueConstraint(
            *("run_id", "layer", "feature", "variant", "explainer", "model", "scorer"),
            "grader_model",
            name="uq__auto_interp__description",
            postgresql_nulls_not_distinct=True,
        ),
        words_index("ix__auto_interp__description_words", "description"),
        {"comment": "a description of a feature and its score on held-out samples (5.1, B)"},
    )

    id: Mapped[identity]
    run_id: Mapped[run_reference]
    layer: Mapped[layer_number]
    feature: Mapped[feature_number]
    measurement_id: Mapped[measurement_reference]
    variant: Mapped[str] = one_of(
        *("RAW", "OVERLAY", "OUTPUT"),
        comment="what was described. RAW: samples; OVERLAY: samples with the heads' attention "
        "drawn on; OUTPUT: no sample, but the tokens that it makes likelier and less likely",
    )
    explainer: Mapped[str] = one_of(
        "openai",
        "offline",
        "delphi",
        comment="a language model's endpoint, word statistics, or Delphi (imported)",
    )
    model: Mapped[str] = mapped_column(comment="the explainer's model")
    description: Mapped[str] = mapped_column(comment="what the feature is said to mean")
    n_positive: Mapped[int] = count("held-out samples on which the feature fires")
    n_negative: Mapped[int] = count("held-out samples on which it does not")
    true_positive: Mapped[int] = count("firing samples that match the description")
    false_positive: Mapped[int] = count("silent samples that match the description")
    false_negative: Mapped[int] = count("firing samples that do not match")
    true_negative: Mapped[int] = count("silent samples that do not match")
    f1: Mapped[float] = measured(
        "harmonic mean of precision and recall; 1: perfect (B)", low=0, high=1
    )
    balanced_accuracy: Mapped[float] = measured(
        "mean of the two recalls; 0.5: chance", low=0, high=1
    )
    mcc: Mapped[float] = measured("Matthews correlation; 0: chance, 1: perfect", low=-1, high=1)
    shuffled_f1: Mapped[float | None] = measured(
        "F1 of another feature's description on these samples: the null", low=0, high=1
    )
    prompt_hash: Mapped[str] = mapped_column(comment="hash of the prompts sent")
    raw_reply: Mapped[str] = mapped_column(comment="the explainer's reply as it came")
    tokens_used: Mapped[int] = count("tokens billed, prompts and replies; 0 offline")
    cost_usd: Mapped[float | None] = measured("what it cost, if known", low=0)
    n_failed: Mapped[int] = count("held-out samples without a readable verdict")
    scorer: Mapped[str | None] = mapped_column(
        comment="how an imported description was scored, e.g. Delphi's detection; none: as in B"
    )
    grader_model: Mapped[str | None] = mapped_column(
        comment="the model that judged the description; none: not told"
    )
    mcc_low: Mapped[float | None] = measured(
        "lower end of its 95 % interval, bootstrap over pictures", low=-1, high=1
    )
    mcc_high: Mapped[float | None] = measured("upper end of its 95 % interval", low=-1, high=1)
    chance_p: Mapped[float | None] = precise(
        "P of as many true positives if the yeses fell by lot: Fisher's exact test, one-sided",
        low=0,
        high=1,
    )
    f1_gain_low: Mapped[float | None] = measured(
        "lower end of the 95 % interval of f1 - shuffled_f1, paired", low=-1, high=1
    )
    f1_gain_high: Mapped[float | None] = measured(
        "upper end of the 95 % interval of f1 - shuffled_f1", low=-1, high=1
    )
    text_only_f1: Mapped[float | None] = measured(
        "F1 of this description on these samples without their pictures", low=0, high=1
    )
    picture_gain_low: Mapped[float | None] = measured(
        "lower end of the 95 % interval of f1 - text_only_f1, paired", low=-1, high=1
    )
    picture_gain_high: Mapped[float | None] = measured(
        "upper end of the 95 % interval of f1 - text_only_f1", low=-1, high=1
    )
    n_same_relation: Mapped[int | None] = count(
        "negatives taken because they ask with the same relation word"
    )
    n_same_image: Mapped[int | None] = count(
        "negatives taken because they ask about the picture of a positive"
    )
    raw_verdicts: Mapped[list[str] | None] = mapped_column(
        ARRAY(Text), comment="the grader's replies about this description as they came"
    )
    n_repaired: Mapped[int | None] = count(
        "replies that could not be read and were asked for once more"
    )
