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

from feature_atlas.uncertainty import clustered_bootstrap, mcnemar_exact


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
    margin_delta: float
    """Mean change of the margin towards the right answer, in logits; moves before answers flip."""
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
    was_right, is_right = (before > 0) == label, (after > 0) == label
    flips = is_right.astype(float) - was_right
    interval = clustered_bootstrap(flips.T, images, n_draws=n_draws, seed=seed)
    return [
        _effect(label, before, after[i], float(interval.low[i]), float(interval.high[i]))
        for i in range(len(after))
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
    low: float,
    high: float,
) -> AblationEffect:
    was_yes, is_yes = before > 0, after > 0
    was_right, is_right = was_yes == label, is_yes == label
    spoiled, mended = int((was_right & ~is_right).sum()), int((~was_right & is_right).sum())
    towards_truth = np.where(label, 1.0, -1.0)
    return AblationEffect(
        n_samples=len(label),
        accuracy_before=float(was_right.mean()),
        accuracy_after=float(is_right.mean()),
        delta_accuracy=(mended - spoiled) / len(label),
        delta_low=low,
        delta_high=high,
        right_to_wrong=spoiled,
        wrong_to_right=mended,
        mcnemar_p=float(mcnemar_exact(spoiled, mended)),
        probability_delta=float(
            (expit(towards_truth * after) - expit(towards_truth * before)).mean()
        ),
        margin_delta=float((towards_truth * (after - before)).mean()),
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
