"""Neutral prompts: does a feature see, or did it only read the word "left"? (paper 4.3, step 2)

The question of each top-activating sample is replaced by "Describe the image." and the like. A
feature that keeps firing is grounded in the picture; one that falls silent was lexical.

Firing alone would prove little: a TopK code fires k features on every token whatever the prompt,
and "Describe the positions of objects in the image." has spatial words of its own. So the same
neutral prompt is also run on the mean image, and what has to differ is the picture alone. A third
run, on another sample's picture, tells "fires because of this picture" from "because of some
picture". It is counted and not judged: the other picture may hold the same thing, and in a world of
shapes on a grid, or of photographs of rooms, it often does. A feature that fires as much on it has
seen that there is a picture, which the mean image is none of, and no more is claimed.

What the model says to the prompt counts as well (`reply`), in the same words on all three: a model
looks where things are when it says so, not while it reads that it should.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.statistics.counter_hash import counter_hash


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


def shuffled_samples(images: Int[Tensor, " sample"], seed: int) -> Int[Tensor, " sample"]:
    """For each sample another one, about another picture: whose picture the shuffled run shows.

    `images` numbers the samples' pictures. A hash of the sample's place chooses, so it is the same
    other one in whatever batch, prompt and layer.
    """
    if len(images.unique()) < 2:
        raise ValueError(
            f"{len(images)} samples share one picture: there is none to put in its place. Take "
            "samples about two pictures or more."
        )
    place = torch.arange(len(images), device=images.device)
    other = counter_hash(seed, place) % len(images)
    while (is_same := images[other] == images).any():
        other = torch.where(is_same, (other + 1) % len(images), other)
    return other


class NeutralCounts(NamedTuple):
    """How chosen features of one layer behave under one neutral prompt; updated in place."""

    n_samples: Int[Tensor, " feature"]
    """Top-activating samples that were run again with the neutral prompt."""
    n_fired: Int[Tensor, " feature"]
    """Those on whose text tokens the feature still fires."""
    n_fired_mean_image: Int[Tensor, " feature"]
    """Those on which it fires when the mean image replaces the picture."""
    n_fired_shuffled_image: Int[Tensor, " feature"]
    """Those on which it fires when another sample's picture replaces it: evidence, not a veto."""
    sum_activation: Float[Tensor, " feature"]
    """Sum over samples of the strongest activation with the real picture, float64."""

    @classmethod
    def empty(cls, n_features: int, device: torch.device | str = "cpu") -> "NeutralCounts":
        """Nothing run yet."""
        samples, fired, fired_mean_image, fired_shuffled_image = torch.zeros(
            4, n_features, dtype=torch.int64, device=device
        )
        activation = torch.zeros(n_features, dtype=torch.float64, device=device)
        return cls(samples, fired, fired_mean_image, fired_shuffled_image, activation)

    def add(
        self,
        real_image: Float[Tensor, "sample feature"],
        mean_image: Float[Tensor, "sample feature"],
        shuffled_image: Float[Tensor, "sample feature"],
        is_top: Bool[Tensor, "sample feature"],
    ) -> None:
        """Count a batch of samples, given `max_activation` on each of the three images.

        Samples are shared between features: `is_top` says which of them belong to which feature.
        """
        if not real_image.shape == mean_image.shape == shuffled_image.shape == is_top.shape:
            raise ValueError(
                f"real image {list(real_image.shape)}, mean image {list(mean_image.shape)}, "
                f"shuffled image {list(shuffled_image.shape)}, is_top {list(is_top.shape)}: pass "
                "the same samples and features to all four."
            )
        self.n_samples.add_(is_top.sum(0))
        self.n_fired.add_(((real_image > 0) & is_top).sum(0))
        self.n_fired_mean_image.add_(((mean_image > 0) & is_top).sum(0))
        self.n_fired_shuffled_image.add_(((shuffled_image > 0) & is_top).sum(0))
        self.sum_activation.add_(real_image.double().mul(is_top).sum(0))

    def only(self, features: Sequence[int]) -> "NeutralCounts":
        """The counts of some of the features, by their places."""
        return NeutralCounts(*(counts[list(features)] for counts in self))

    def mean_activation(self) -> Float[Tensor, " feature"]:
        """Mean over samples of the strongest activation; 0 for a feature without samples."""
        return self.sum_activation / self.n_samples.clamp_min(1)


def survives(
    n_fired: Int[Tensor, " feature"],
    n_samples: Int[Tensor, " feature"],
    n_fired_mean_image: Int[Tensor, " feature"],
    *,
    min_share: float = 0.5,
    max_mean_share: float = 0.5,
) -> Bool[Tensor, " feature"]:
    """Whether firing persists under one neutral prompt, and because of the picture.

    The feature fires in at least `min_share` of the neutral runs, AND the mean image leaves at most
    `max_mean_share` of these firings. The second half is ours: TopK always fires k features, so one
    that fires on any text would pass the first. One run more than on the mean image would not do:
    among ten, and with several prompts, chance gives that to one lexical feature in sixteen (8 of
    128 in planted worlds; none with a half, which keeps 125 of 128 that see). With several prompts,
    a feature survives the filter that survives one of them: what looks for positions has nothing to
    do in "Describe the image.". A feature without samples does not survive.
    """
    if (n_fired > n_samples).any() or (n_fired_mean_image > n_samples).any():
        raise ValueError(
            "a feature fired in more runs than it had: give n_fired, n_samples and "
            "n_fired_mean_image of the same runs, in this order."
        )
    persists = (n_samples > 0) & (n_fired >= min_share * n_samples)
    return persists & (n_fired_mean_image <= max_mean_share * n_fired)
