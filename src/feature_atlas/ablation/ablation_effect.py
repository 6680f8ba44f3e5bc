"""What an ablation did to the answers: the same questions with and without it (paper 5.3, D).

    delta accuracy = (wrong to right - right to wrong) / n        -1 to 1, negative is worse

Its interval resamples pictures, since questions about one picture are not independent; McNemar's
test looks at the answers that changed. A feature may also move a bias towards yes: the yes rates
and balanced accuracy tell that from a loss of skill.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit

from feature_atlas.statistics.uncertainty import (
    clustered_bootstrap,
    clustered_difference,
    mcnemar_exact,
)


class AblationEffect(NamedTuple):
    """Paired outcome of one ablation: columns of table ablation. Shares, not percentage points."""

    n_samples: int
    """Questions answered with and without the ablation."""
    accuracy_before: float
    """Share right."""
    accuracy_after: float
    """Share right with the direction removed."""
    delta_accuracy: float
    """After minus before; negative is worse."""
    delta_low: float
    """Lower end of its 95 % interval, resampling images."""
    delta_high: float
    """Upper end."""
    right_to_wrong: int
    """Answers that the ablation spoiled."""
    wrong_to_right: int
    """Answers that it mended."""
    mcnemar_p: float
    """Exact two-sided McNemar test of the two counts above."""
    probability_delta: float
    """Mean change of the probability of the right answer."""
    probability_low: float
    """Lower end of its 95 % interval, resampling images."""
    probability_high: float
    """Upper end."""
    margin_delta: float
    """Mean change of the margin towards the right answer, in logits; moves before answers flip."""
    margin_low: float
    """Lower end of its 95 % interval, resampling images."""
    margin_high: float
    """Upper end."""
    yes_rate_before: float
    """Share answered yes."""
    yes_rate_after: float
    """A change of accuracy with a large change here may be a yes bias."""
    balanced_accuracy_before: float
    """Mean of the shares right among true yes and true no."""
    balanced_accuracy_after: float
    """Likewise with the direction removed; a yes bias leaves it near 1/2."""


def ablation_effects(
    label: Bool[np.ndarray, " sample"],
    margin_before: Float[np.ndarray, " sample"],
    margins_after: Float[np.ndarray, "direction sample"],
    image_ids: Int[np.ndarray, " sample"],
    *,
    seed: int = 0,
    n_draws: int = 10_000,
) -> list[AblationEffect]:
    """The effect of each ablation on the same samples, with the same resampled images for all."""
    label, before, after, images = _checked(label, margin_before, margins_after, image_ids)
    changes = np.stack(answer_changes(label, before, after), axis=-1)  # [direction, sample, kind]
    interval = clustered_bootstrap(changes.swapaxes(0, 1), images, n_draws=n_draws, seed=seed)
    return [
        _effect(label, before, after[i], changes[i].mean(0), interval.low[i], interval.high[i])
        for i in range(len(after))
    ]


class AnswerChanges(NamedTuple):
    """What became of each answer, after minus before."""

    right: Float[np.ndarray, "direction sample"]
    """1 mended, -1 spoiled, 0 as it was."""
    probability: Float[np.ndarray, "direction sample"]
    """Of the right answer."""
    margin: Float[np.ndarray, "direction sample"]
    """Towards the right answer, in logits."""


def answer_changes(
    label: Bool[np.ndarray, " sample"],
    before: Float[np.ndarray, " sample"],
    after: Float[np.ndarray, "direction sample"],
) -> AnswerChanges:
    """Per sample, what the mean effects are the means of."""
    towards_truth = np.where(label, 1.0, -1.0)
    return AnswerChanges(
        ((after > 0) == label).astype(float) - ((before > 0) == label),
        expit(towards_truth * after) - expit(towards_truth * before),
        towards_truth * (after - before),
    )


class Interaction(NamedTuple):
    """How much more an ablation does to one set of questions than to another."""

    difference: float
    """Change of accuracy on the one less that on the other; negative: specific to the one."""
    low: float
    """Lower end of its 95 % interval, resampling images."""
    high: float
    """Upper end."""


def interactions(
    changes: Float[np.ndarray, "direction sample"],
    image_ids: Int[np.ndarray, " sample"],
    other_changes: Float[np.ndarray, "direction other"],
    other_image_ids: Int[np.ndarray, " other"],
    *,
    seed: int = 0,
    n_draws: int = 10_000,
) -> list[Interaction]:
    """Of each ablation; an image that is in both sets is drawn for both."""
    interval = clustered_difference(
        changes.T, image_ids, other_changes.T, other_image_ids, n_draws=n_draws, seed=seed
    )
    differences = changes.mean(1) - other_changes.mean(1)
    return [
        Interaction(*map(float, row))
        for row in zip(differences, interval.low, interval.high, strict=True)
    ]


def ablation_effect(
    label: Bool[np.ndarray, " sample"],
    margin_before: Float[np.ndarray, " sample"],
    margin_after: Float[np.ndarray, " sample"],
    image_ids: Int[np.ndarray, " sample"],
    *,
    seed: int = 0,
    n_draws: int = 10_000,
) -> AblationEffect:
    """The effect of one ablation."""
    after = np.asarray(margin_after)[None]
    return ablation_effects(label, margin_before, after, image_ids, seed=seed, n_draws=n_draws)[0]


def _effect(
    label: Bool[np.ndarray, " sample"],
    before: Float[np.ndarray, " sample"],
    after: Float[np.ndarray, " sample"],
    mean: Float[np.ndarray, "3"],
    low: Float[np.ndarray, "3"],
    high: Float[np.ndarray, "3"],
) -> AblationEffect:
    """`mean`, `low` and `high` are of the fields of `AnswerChanges`."""
    was_yes, is_yes = before > 0, after > 0
    was_right, is_right = was_yes == label, is_yes == label
    spoiled, mended = int((was_right & ~is_right).sum()), int((~was_right & is_right).sum())
    return AblationEffect(
        n_samples=len(label),
        accuracy_before=float(was_right.mean()),
        accuracy_after=float(is_right.mean()),
        delta_accuracy=(mended - spoiled) / len(label),
        delta_low=float(low[0]),
        delta_high=float(high[0]),
        right_to_wrong=spoiled,
        wrong_to_right=mended,
        mcnemar_p=float(mcnemar_exact(spoiled, mended)),
        probability_delta=float(mean[1]),
        probability_low=float(low[1]),
        probability_high=float(high[1]),
        margin_delta=float(mean[2]),
        margin_low=float(low[2]),
        margin_high=float(high[2]),
        yes_rate_before=float(was_yes.mean()),
        yes_rate_after=float(is_yes.mean()),
        balanced_accuracy_before=balanced_accuracy(was_right, label),
        balanced_accuracy_after=balanced_accuracy(is_right, label),
    )


def balanced_accuracy(
    is_right: Bool[np.ndarray, " sample"], label: Bool[np.ndarray, " sample"]
) -> float:
    """Mean of the shares right among true yes and among true no; of one kind only: its share."""
    shares = [is_right[label == kind].mean() for kind in (True, False) if (label == kind).any()]
    return float(np.mean(shares))


def _checked(
    label: np.ndarray, before: np.ndarray, after: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """As arrays of agreeing shapes and finite numbers."""
    label, images = np.asarray(label).astype(bool), np.asarray(images)
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    n = len(label)
    if n == 0 or before.shape != (n,) or after.shape[1:] != (n,) or images.shape != (n,):
        raise ValueError(
            f"{n} labels, margins before {list(before.shape)}, after {list(after.shape)}, image "
            f"ids {list(images.shape)}: expected one of each per sample, after as [direction, "
            "sample]."
        )
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        raise ValueError("margins hold NaN or inf: the logits overflow; run the model in bfloat16.")
    return label, before, after, images
