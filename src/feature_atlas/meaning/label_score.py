"""How well a sentence predicts where a feature fires (paper B.1), and what chance would give.

F1 as in the paper. Beside it what shows a grader that does not read:

    always yes        F1 is 2/3 on halves; balanced accuracy is 1/2 and Matthews correlation 0
    shuffled          another feature's sentence on the same samples earns the same F1
    text only         the same sentence, pictures withheld, earns the same F1: the label is lexical

Intervals are percentiles of a bootstrap over pictures, positives and negatives apart, since their
numbers are part of the design. Differences are paired: the same draws for both. Where every answer
is right the draws agree and the interval has no width; `chance_p` still knows how few they were.
"""

from collections.abc import Sequence
from math import comb
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from feature_atlas.meaning.auto_interp import Explainer, Usage, Verdicts
from feature_atlas.meaning.interp_samples import Sample, blinded, without_picture
from feature_atlas.statistics.uncertainty import Numbers, matthews_correlation

N_DRAWS = 2000
TAILS = (0.025, 0.975)


class Score(NamedTuple):
    """How well a sentence tells firing from silent samples: columns of table auto_interp."""

    n_positive: int
    """Held-out samples on which the feature fires."""
    n_negative: int
    """Samples on which it does not."""
    true_positive: int
    """Fires and said to match."""
    false_positive: int
    """Silent but said to match, or failed."""
    false_negative: int
    """Fires but said not to match, or failed."""
    true_negative: int
    """Silent and said not to match."""
    f1: float
    """2 TP / (2 TP + FP + FN); 2/3 for always 1 on halves."""
    balanced_accuracy: float
    """Mean of the shares right among positives and negatives; 1/2 for always 1."""
    mcc: float
    """Matthews correlation, -1 to 1; 0 for always 1."""
    mcc_low: float
    """Lower end of its 95 % interval."""
    mcc_high: float
    """Upper end."""
    chance_p: float
    """Chance of as many true positives from as many yeses, given by lot (Fisher, one-sided)."""
    shuffled_f1: float | None
    """F1 of another feature's sentence on these samples; None if there is no other feature."""
    f1_gain_low: float | None
    """Lower end of the 95 % interval of f1 - shuffled_f1."""
    f1_gain_high: float | None
    """Upper end."""
    text_only_f1: float
    """F1 of this sentence on these samples without their pictures."""
    picture_gain_low: float
    """Lower end of the 95 % interval of f1 - text_only_f1."""
    picture_gain_high: float
    """Upper end."""
    n_failed: int
    """Samples without a readable answer to this feature's own sentence."""


class Graded(NamedTuple):
    """A score with what the grader said and cost."""

    score: Score
    """The numbers."""
    raw_replies: list[str]
    """Every last reply about this feature's own sentence, word for word."""
    usage: Usage
    """Of all of its answers, baselines included."""


def score_description(
    grader: Explainer,
    description: str | None,
    positives: Sequence[Sample],
    negatives: Sequence[Sample],
    *,
    shuffled: str | None = None,
    n_rounds: int = 2,
    seed: int = 0,
) -> Graded:
    """Confusion and what follows from it, over blinded samples in random order.

    ``shuffled`` is another feature's description (see ``shuffled_descriptions``). The samples are
    put to the grader in ``n_rounds`` parts (paper: two short rounds), so that one lost reply does
    not lose them all.
    """
    if not positives or not negatives:
        raise ValueError(
            f"{len(positives)} positives and {len(negatives)} negatives; expected some of both: a "
            "description that says yes to everything would score 1."
        )
    order = np.random.default_rng(seed).permutation(len(positives) + len(negatives))
    truth = order < len(positives)
    samples = [blinded([*positives, *negatives][i]) for i in order]
    own = _verdicts(grader, description, samples, n_rounds)
    other = _verdicts(grader, shuffled, samples, n_rounds) if shuffled else None
    unseen, usage = own, own.usage if other is None else own.usage.plus(other.usage)
    if any(sample.image is not None for sample in samples):
        texts = [without_picture(sample) for sample in samples]
        unseen = _verdicts(grader, description, texts, n_rounds)
        usage = usage.plus(unseen.usage)
    images = np.array([sample.image_id for sample in samples])
    return Graded(_score(truth, images, own, other, unseen, seed), own.raw_replies, usage)


def _verdicts(
    grader: Explainer, description: str | None, samples: Sequence[Sample], n_rounds: int
) -> Verdicts:
    """One answer per sample; all None for a feature that has no description."""
    if not description:
        return Verdicts([None] * len(samples))
    whole = Verdicts([], [])
    for part in np.array_split(np.arange(len(samples)), n_rounds):
        if len(part):
            given = grader.classify(description, [samples[i] for i in part])
            _require_one_each(given.answers, len(part), grader)
            whole = Verdicts(
                whole.answers + given.answers,
                whole.raw_replies + given.raw_replies,
                whole.usage.plus(given.usage),
            )
    return whole


def _require_one_each(given: list[bool | None], n: int, grader: Explainer) -> None:
    if len(given) != n:
        raise ValueError(
            f"explainer {grader.name!r} gave {len(given)} answers to {n} samples; expected one "
            "each, None where it has none."
        )


def _score(
    truth: Bool[np.ndarray, " sample"],
    images: Int64[np.ndarray, " sample"],
    own: Verdicts,
    other: Verdicts | None,
    unseen: Verdicts,
    seed: int,
) -> Score:
    weights = drawn_again(truth, images, N_DRAWS, seed)
    confusion = confusion_of(truth, own.answers)
    drawn = _weighted_confusion(truth, own.answers, weights)
    mcc = np.quantile(matthews_correlation(**drawn), TAILS)
    gain = None if other is None else _gain(drawn, truth, other, weights)
    pictures = _gain(drawn, truth, unseen, weights)
    return Score(
        n_positive=int(truth.sum()),
        n_negative=int((~truth).sum()),
        **confusion,
        f1=float(f1_score(**confusion)),
        balanced_accuracy=balanced_accuracy_of(**confusion),
        mcc=float(matthews_correlation(**confusion)),
        mcc_low=float(mcc[0]),
        mcc_high=float(mcc[1]),
        chance_p=chance_p(**confusion),
        shuffled_f1=None if other is None else _f1_of(truth, other),
        f1_gain_low=None if gain is None else float(gain[0]),
        f1_gain_high=None if gain is None else float(gain[1]),
        text_only_f1=_f1_of(truth, unseen),
        picture_gain_low=float(pictures[0]),
        picture_gain_high=float(pictures[1]),
        n_failed=own.answers.count(None),
    )


def _gain(
    drawn: dict[str, Numbers],
    truth: Bool[np.ndarray, " sample"],
    baseline: Verdicts,
    weights: Float64[np.ndarray, "draw sample"],
) -> Float64[np.ndarray, " end"]:
    """Ends of the interval of how much more F1 the drawn confusions have than a baseline's."""
    other = _weighted_confusion(truth, baseline.answers, weights)
    return np.quantile(f1_score(**drawn) - f1_score(**other), TAILS)


def _f1_of(truth: Bool[np.ndarray, " sample"], verdicts: Verdicts) -> float:
    return float(f1_score(**confusion_of(truth, verdicts.answers)))


# ---------------------------------------------------------------- counts and what follows


def confusion_of(
    truth: Bool[np.ndarray, " sample"], answers: Sequence[bool | None]
) -> dict[str, int]:
    """A failed answer is a wrong one: a miss on a positive, a false alarm on a negative."""
    counts = _weighted_confusion(truth, answers, np.ones((1, len(truth))))
    return {name: int(values[0]) for name, values in counts.items()}


def _weighted_confusion(
    truth: Bool[np.ndarray, " sample"],
    answers: Sequence[bool | None],
    weights: Float64[np.ndarray, "draw sample"],
) -> dict[str, Numbers]:
    """One confusion per draw, each sample counted as often as it was drawn."""
    said = np.array(
        [not fires if a is None else a for a, fires in zip(answers, truth, strict=True)], bool
    )
    return {
        "true_positive": weights @ (truth & said),
        "false_positive": weights @ (~truth & said),
        "false_negative": weights @ (truth & ~said),
        "true_negative": weights @ (~truth & ~said),
    }


def drawn_again(
    truth: Bool[np.ndarray, " sample"],
    images: Int64[np.ndarray, " sample"],
    n_draws: int,
    seed: int,
) -> Float64[np.ndarray, "draw sample"]:
    """How often each draw takes each sample: pictures with replacement, by kind of sample."""
    random = np.random.default_rng(seed)
    weights = np.zeros((n_draws, len(truth)))
    for kind in (truth, ~truth):
        names, of_sample = np.unique(images[kind], return_inverse=True)
        drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_draws)
        weights[:, kind] = drawn[:, of_sample]
    return weights


def f1_score(
    true_positive: Numbers | int,
    false_positive: Numbers | int,
    false_negative: Numbers | int,
    true_negative: Numbers | int,
) -> Numbers:
    """2 TP / (2 TP + FP + FN); 0 without any true positive."""
    hits = 2 * np.asarray(true_positive, np.float64)
    either = hits + false_positive + false_negative
    return np.divide(hits, either, out=np.zeros_like(hits), where=either > 0)


def balanced_accuracy_of(
    true_positive: int, false_positive: int, false_negative: int, true_negative: int
) -> float:
    """Mean of the shares right among positives and negatives."""
    sensitivity = true_positive / (true_positive + false_negative)
    specificity = true_negative / (true_negative + false_positive)
    return (sensitivity + specificity) / 2


def chance_p(
    true_positive: int, false_positive: int, false_negative: int, true_negative: int
) -> float:
    """P of so many or more true positives if the yeses fell by lot: Fisher's exact test, one-sided.

        P(X >= TP),   X hypergeometric: TP + FP yeses among the positives and negatives

    1 for a grader that always says the same.
    """
    n_yes = true_positive + false_positive
    n_positive, n_negative = true_positive + false_negative, false_positive + true_negative
    ways = sum(
        comb(n_positive, hits) * comb(n_negative, n_yes - hits)
        for hits in range(true_positive, min(n_yes, n_positive) + 1)
    )
    return ways / comb(n_positive + n_negative, n_yes)
