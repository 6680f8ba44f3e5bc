"""Columns about what an intervention did to the answers to one set of questions (5.3, D)."""

from sqlalchemy import Integer
from sqlalchemy.orm import Mapped, mapped_column

from feature_atlas.models.columns import count, measured, precise

EVALUATIONS = (
    *("vsr_relation", "vsr_other", "vsr_all", "vqa_yes_no", "vsr_paper"),
    *("whatsup", "gqa"),
)
OF_EVALUATION = (
    "vsr_relation: test statements of the relation; vsr_other: of other relations; vsr_all: of "
    "every relation; vqa_yes_no: general questions; vsr_paper: the paper's way, all statements of "
    "the relation, those that it was chosen on too; whatsup: pairs of opposite statements about "
    "What'sUp's pictures; gqa: GQA's spatial yes/no questions"
)


class Answered:
    """The same questions answered before and after, whatever was done in between.

    Tables add what came after, and `delta_accuracy`, in words of their own: removed, knocked out.
    """

    seed: Mapped[int] = mapped_column(Integer, comment="random seed of controls and bootstrap")
    n_samples: Mapped[int] = count("questions answered, each before and after")
    accuracy_before: Mapped[float] = measured("share answered rightly, untouched", low=0, high=1)
    delta_low: Mapped[float] = measured(
        "lower end of its 95 % interval, bootstrap over images", low=-1, high=1
    )
    delta_high: Mapped[float] = measured(
        "upper end of its 95 % interval, bootstrap over images", low=-1, high=1
    )
    mcnemar_p: Mapped[float] = precise("exact McNemar p of no change", low=0, high=1)
    probability_delta: Mapped[float] = measured(
        "probability of the right answer, after minus before, mean", low=-1, high=1
    )
    margin_delta: Mapped[float] = measured(
        "logit of the right answer over the wrong, after minus before, mean"
    )
    yes_rate_before: Mapped[float] = measured("share answered yes, untouched", low=0, high=1)
    balanced_accuracy_before: Mapped[float] = measured(
        "mean of the recalls of yes and no, untouched", low=0, high=1
    )


class AnswerEffect(Answered):
    """What a removal, or steering as its mirror, did to the answers."""

    accuracy_after: Mapped[float] = measured("share answered rightly, removed", low=0, high=1)
    delta_accuracy: Mapped[float] = measured(
        "after minus before; below 0: the removal hurts", low=-1, high=1
    )
    right_to_wrong: Mapped[int] = count("answers that the removal broke")
    wrong_to_right: Mapped[int] = count("answers that the removal mended")
    q_value: Mapped[float | None] = precise(
        "mcnemar_p after Benjamini-Hochberg over the run's ablated features", low=0, high=1
    )
    yes_rate_after: Mapped[float] = measured("share answered yes, removed", low=0, high=1)
    balanced_accuracy_after: Mapped[float] = measured(
        "mean of the recalls of yes and no, removed", low=0, high=1
    )
    removed_norm: Mapped[float] = measured(
        "length of what was removed over length of the residual, mean over tokens", low=0
    )
    probability_low: Mapped[float | None] = measured(
        "lower end of probability_delta's 95 % interval, bootstrap over images", low=-1, high=1
    )
    probability_high: Mapped[float | None] = measured(
        "upper end of probability_delta's 95 % interval", low=-1, high=1
    )
    margin_low: Mapped[float | None] = measured(
        "lower end of margin_delta's 95 % interval, bootstrap over images"
    )
    margin_high: Mapped[float | None] = measured("upper end of margin_delta's 95 % interval")
    detectable_delta: Mapped[float | None] = measured(
        "smallest loss of accuracy that exact McNemar at 0.05 finds with 80 % power, given "
        "n_samples and as many changed answers; NULL: not computed, or so few answers show none",
        low=0,
        high=1,
    )


class Interaction:
    """Whether a removal hurts its own relation more than others."""

    interaction: Mapped[float | None] = measured(
        "delta_accuracy here less that on other relations; below 0: specific", low=-2, high=2
    )
    interaction_low: Mapped[float | None] = measured(
        "lower end of its 95 % interval, bootstrap over images", low=-2, high=2
    )
    interaction_high: Mapped[float | None] = measured(
        "upper end of its 95 % interval", low=-2, high=2
    )
