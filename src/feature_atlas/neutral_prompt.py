"""Neutral prompts: does a feature see, or did it only read the word "left"? (paper 4.3, step 2)

The question of each top-activating sample is replaced by "Describe the image." and the like. A
feature that keeps firing is grounded in the picture; one that falls silent was lexical.

Firing alone would prove little: a TopK code fires k features on every token whatever the prompt,
and "Describe the positions of objects in the image." has spatial words of its own. So the same
neutral prompt is also run on the mean image, and what has to differ is the picture alone.

What the model says to the prompt counts as well (`reply`), in the same words on both: a model looks
where things are when it says so, not while it reads that it should.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.sae import SparseCodes


def max_activation(
    codes: SparseCodes,
    question: Int[Tensor, " token"],
    n_questions: int,
    features: Int[Tensor, " feature"],
) -> Float[Tensor, "question feature"]:
    """Strongest activation of each chosen feature in each question; 0: silent throughout.

    `question` numbers the tokens' questions 0 to n_questions - 1; negative ones are passed over.
    """
    if len(features) == 0:
        return codes.values.new_zeros(n_questions, 0)
    chosen, column = features.unique(return_inverse=True)
    slot = torch.searchsorted(chosen, codes.indices).clamp_max(len(chosen) - 1)
    wanted = (chosen[slot] == codes.indices) & (question >= 0)[:, None]
    strongest = codes.values.new_zeros(n_questions, len(chosen))
    cell = (question[:, None] * len(chosen) + slot)[wanted]
    strongest.view(-1).scatter_reduce_(0, cell, codes.values[wanted], "amax")
    return strongest[:, column]


def fired_anywhere(
    codes: SparseCodes,
    question: Int[Tensor, " token"],
    n_questions: int,
    features: Int[Tensor, " feature"],
) -> Bool[Tensor, "question feature"]:
    """Whether each chosen feature fires on any token of each question."""
    return max_activation(codes, question, n_questions, features) > 0


class NeutralCounts(NamedTuple):
    """How chosen features of one layer behave under one neutral prompt; updated in place."""

    n_samples: Int[Tensor, " feature"]
    """Top-activating samples that were run again with the neutral prompt."""
    n_fired: Int[Tensor, " feature"]
    """Those on whose text tokens the feature still fires."""
    n_fired_mean_image: Int[Tensor, " feature"]
    """Those on which it fires when the mean image replaces the picture."""
    sum_activation: Float[Tensor, " feature"]
    """Sum over samples of the strongest activation with the real picture, float64."""

    @classmethod
    def empty(cls, n_features: int, device: torch.device | str = "cpu") -> "NeutralCounts":
        """Nothing run yet."""
        samples, fired, fired_mean_image = torch.zeros(
            3, n_features, dtype=torch.int64, device=device
        )
        activation = torch.zeros(n_features, dtype=torch.float64, device=device)
        return cls(samples, fired, fired_mean_image, activation)

    def add(
        self,
        real_image: Float[Tensor, "sample feature"],
        mean_image: Float[Tensor, "sample feature"],
        is_top: Bool[Tensor, "sample feature"],
    ) -> None:
        """Count a batch of samples, given `max_activation` on the real and on the mean image.

        Samples are shared between features: `is_top` says which of them belong to which feature.
        """
        if not real_image.shape == mean_image.shape == is_top.shape:
            raise ValueError(
                f"real image {list(real_image.shape)}, mean image {list(mean_image.shape)}, is_top "
                f"{list(is_top.shape)}: pass the same samples and features to all three."
            )
        self.n_samples.add_(is_top.sum(0))
        self.n_fired.add_(((real_image > 0) & is_top).sum(0))
        self.n_fired_mean_image.add_(((mean_image > 0) & is_top).sum(0))
        self.sum_activation.add_(real_image.double().mul(is_top).sum(0))

    def mean_activation(self) -> Float[Tensor, " feature"]:
        """Mean over samples of the strongest activation; 0 for a feature without samples."""
        return self.sum_activation / self.n_samples.clamp_min(1)


def survives(
    n_fired: Int[Tensor, " feature"],
    n_samples: Int[Tensor, " feature"],
    n_fired_mean_image: Int[Tensor, " feature"],
    *,
    min_share: float = 0.5,
) -> Bool[Tensor, " feature"]:
    """Whether firing persists under one neutral prompt, and because of the picture.

    The feature fires in at least `min_share` of the neutral runs, AND in more of them than when the
    mean image replaces the picture. The second half is ours: TopK always fires k features, so one
    that fires on any text would pass the first. With several prompts, a feature survives the filter
    that survives one of them: what looks for positions has nothing to do in "Describe the image.".
    A feature without samples does not survive.
    """
    if (n_fired > n_samples).any() or (n_fired_mean_image > n_samples).any():
        raise ValueError(
            "a feature fired in more runs than it had: give n_fired, n_samples and "
            "n_fired_mean_image of the same runs, in this order."
        )
    persists = (n_samples > 0) & (n_fired >= min_share * n_samples)
    return persists & (n_fired > n_fired_mean_image)
