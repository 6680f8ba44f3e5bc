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
        CheckConstraint(
            "odds_ratio_boot_low <= odds_ratio AND odds_ratio <= odds_ratio_boot_high",
            name="boot_interval",
        ),
        CheckConstraint(
            "role_fired_skill <= role_tokens_skill AND role_fired_base <= role_tokens_base",
            name="role_tokens",
        ),
        CheckConstraint(
            "role_odds_ratio_low <= role_odds_ratio AND role_odds_ratio <= role_odds_ratio_high",
            name="role_interval",
        ),
        CheckConstraint(
            "matched_fired_skill <= matched_tokens_skill"
            " AND matched_fired_base <= matched_tokens_base",
            name="matched_tokens",
        ),
        CheckConstraint(
            "matched_questions_fired_skill <= matched_questions"
            " AND matched_questions_fired_base <= matched_questions",
            name="matched_pairs",
        ),
        CheckConstraint(
            "matched_odds_ratio_low <= matched_odds_ratio"
            " AND matched_odds_ratio <= matched_odds_ratio_high",
            name="matched_interval",
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
    odds_ratio_boot_low: Mapped[float | None] = measured(
        "lower end of its 95 % interval with images resampled; never inside Woolf's", low=0
    )
    odds_ratio_boot_high: Mapped[float | None] = measured("upper end of the same", low=0)
    p_value: Mapped[float] = precise(
        "two-sided p of no difference per question (Wald); tokens of one are not independent",
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
    # the same on question tokens alone, without suffix and header
    role_fired_skill: Mapped[int | None] = count(
        "question tokens, as told from suffix and header, of the skill on which it fired"
    )
    role_tokens_skill: Mapped[int | None] = count("question tokens of the skill's questions")
    role_fired_base: Mapped[int | None] = count(
        "question tokens of the other questions on which it fired"
    )
    role_tokens_base: Mapped[int | None] = count("question tokens of the other questions")
    role_delta_p: Mapped[float | None] = measured(
        "firing rate per question token, skill minus base", low=-1, high=1
    )
    role_odds_ratio: Mapped[float | None] = measured(
        "odds of firing per question token, skill over base, 1/2 added to every cell", low=0
    )
    role_odds_ratio_low: Mapped[float | None] = measured(
        "lower end of its 95 % interval (Woolf)", low=0
    )
    role_odds_ratio_high: Mapped[float | None] = measured(
        "upper end of its 95 % interval (Woolf)", low=0
    )
    # pairs of a skill's question and one of the others that is as long
    matched_questions: Mapped[int | None] = count(
        "questions of the skill that have a length-matched partner, and their partners; "
        "0: none has one"
    )
    matched_fired_skill: Mapped[int | None] = count(
        "tokens of the paired questions on which it fired"
    )
    matched_tokens_skill: Mapped[int | None] = count("tokens of the paired questions")
    matched_fired_base: Mapped[int | None] = count("tokens of the partners on which it fired")
    matched_tokens_base: Mapped[int | None] = count("tokens of the partners")
    matched_questions_fired_skill: Mapped[int | None] = count("paired questions on which it fired")
    matched_questions_fired_base: Mapped[int | None] = count("partners on which it fired")
    matched_delta_p: Mapped[float | None] = measured(
        "firing rate per token, paired questions minus partners", low=-1, high=1
    )
    matched_odds_ratio: Mapped[float | None] = measured(
        "odds of firing per token, paired questions over partners, 1/2 added to every cell", low=0
    )
    matched_odds_ratio_low: Mapped[float | None] = measured(
        "lower end of its 95 % interval (Woolf)", low=0
    )
    matched_odds_ratio_high: Mapped[float | None] = measured(
        "upper end of its 95 % interval (Woolf)", low=0
    )
