"""How much more a feature fires on a kind of question (4.3, A.5, A.6)."""

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.base import (
    Base,
    feature_key,
    layer_key,
    measurement_reference,
    run_key,
    skill_key,
)
from feature_atlas.models.columns import count, measured, precise


class FiringShift(Base):
    """One feature on the questions of one skill against the questions outside it."""

    __tablename__ = "firing_shift"
    __table_args__ = (
        CheckConstraint("fired_skill <= tokens_skill AND fired_base <= tokens_base", name="tokens"),
        CheckConstraint(
            "questions_fired_skill <= questions_skill AND questions_fired_base <= questions_base",
            name="questions",
        ),
        CheckConstraint(
            "odds_ratio_low <= odds_ratio AND odds_ratio <= odds_ratio_high", name="interval"
        ),
        CheckConstraint(
            "question_odds_ratio_low <= question_odds_ratio"
            " AND question_odds_ratio <= question_odds_ratio_high",
            name="question_interval",
        ),
        {
            "postgresql_partition_by": "LIST (run_id)",
            "comment": "how much more a feature fires on a skill's questions (4.3, A.5)",
        },
    )

    run_id: Mapped[run_key]
    skill_id: Mapped[skill_key]
    layer: Mapped[layer_key]
    feature: Mapped[feature_key]
    measurement_id: Mapped[measurement_reference]
    fired_skill: Mapped[int] = count("tokens of the skill's questions on which it fired")
    tokens_skill: Mapped[int] = count("tokens of the skill's questions")
    fired_base: Mapped[int] = count("tokens of the other questions on which it fired")
    tokens_base: Mapped[int] = count("tokens of the other questions")
    questions_fired_skill: Mapped[int] = count("questions of the skill on which it fired")
    questions_skill: Mapped[int] = count("questions of the skill")
    questions_fired_base: Mapped[int] = count("other questions on which it fired")
    questions_base: Mapped[int] = count("other questions")
    delta_p: Mapped[float] = measured(
        "firing rate per token, skill minus base; above 0: fires more on the skill (4.3)",
        low=-1,
        high=1,
    )
    odds_ratio: Mapped[float] = measured(
        "odds of firing per token, skill over base, 1/2 added to every cell; above 1: more (4.3)",
        low=0,
    )
    odds_ratio_low: Mapped[float] = measured("lower end of its 95 % interval (Woolf)", low=0)
    odds_ratio_high: Mapped[float] = measured("upper end of its 95 % interval (Woolf)", low=0)
    p_value: Mapped[float] = precise(
        "two-sided p of no difference per token; tokens of a question are not independent",
        low=0,
        high=1,
    )
    q_value: Mapped[float] = precise(
        "p_value after Benjamini-Hochberg over all features of the run", low=0, high=1
    )
    question_delta_p: Mapped[float] = measured(
        "firing rate per question, skill minus base; above 0: fires more on the skill",
        low=-1,
        high=1,
    )
    question_odds_ratio: Mapped[float] = measured(
        "odds of firing per question, skill over base, 1/2 added to every cell", low=0
    )
    question_odds_ratio_low: Mapped[float] = measured("lower end of its 95 % interval", low=0)
    question_odds_ratio_high: Mapped[float] = measured("upper end of its 95 % interval", low=0)
    has_zero_cell: Mapped[bool] = mapped_column(
        comment="whether a cell of the token table is 0, so the ratio rests on the added 1/2"
    )
    is_candidate: Mapped[bool] = mapped_column(
        comment="whether shift, odds ratio, count and q-value pass the run's thresholds (4.3)"
    )
