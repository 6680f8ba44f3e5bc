"""Examples spread over a feature's activations, beside the strongest ones (paper 5.1, B).

A description of the ten strongest samples says little about the others. A reservoir keeps m samples
of every feature, each image being as likely as any other: those whose hash of (feature, image) is
smallest. One pass, memory [d_sae, m]; the same whatever the batches. At the end the kept samples
are ordered by activation, and one is taken from each part: m points of the feature's own
distribution, whose quantiles they estimate. The first few of the reservoir are a random choice of
the feature's samples: what it fires on if nothing is chosen.

A slot of the reservoir is one integer that sorts as images are preferred:

    key = 31 bits of the image's hash * 2^32 + (sample number XOR 32 other bits of the hash)

so that of one image's samples too a random one is kept, and its number can be read from the key.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.features.example import (
    TopExamples,
    first_of_each_image,
    place_in_feature,
    require_numbers,
)
from feature_atlas.statistics.counter_hash import counter_hash, logical_shift

_EMPTY = 2**63 - 1
"""Sorts after every real key."""
_LOW = 0xFFFFFFFF


class SpreadExamples(NamedTuple):
    """m random samples of every feature of one layer so far, one per image; updated in place."""

    keys: Int[Tensor, "d_sae m"]
    """Hash and sample of each slot in one integer, smallest first."""
    images: Int[Tensor, "d_sae m"]
    """Image of each slot's sample, -1 where the slot is empty."""
    activations: Float[Tensor, "d_sae m"]
    """Strongest activation in each slot's sample, float32; 0 where the slot is empty."""

    @classmethod
    def empty(cls, d_sae: int, m: int, device: torch.device | str = "cpu") -> "SpreadExamples":
        """No samples yet."""
        return cls(
            torch.full((d_sae, m), _EMPTY, device=device),
            torch.full((d_sae, m), -1, device=device),
            torch.zeros(d_sae, m, device=device),
        )

    @property
    def samples(self) -> Int[Tensor, "d_sae m"]:
        """Sample number of each slot, -1 where the slot is empty."""
        feature = torch.arange(len(self.keys), device=self.keys.device)[:, None]
        hidden = counter_hash(0, feature, self.images)
        return ((self.keys ^ hidden) & _LOW).masked_fill(self.keys == _EMPTY, -1)

    def add(
        self, codes: SparseCodes, sample: Int[Tensor, " token"], image: Int[Tensor, " token"]
    ) -> None:
        """Let the tokens of a batch be drawn; tokens whose sample is negative are passed over.

        `sample` and `image` are numbers in the whole data set, 0 or more.
        """
        require_numbers(codes, sample, image)
        self._draw(_Drawn.of(codes, sample, image))

    def merge(self, other: "SpreadExamples") -> None:
        """Let the samples of another reservoir be drawn, of other tokens."""
        every = torch.arange(len(other.keys), device=other.keys.device)
        self._draw(_Drawn.filled(other, every))

    def _draw(self, new: "_Drawn") -> None:
        new = new.at(new.key <= self.keys[new.feature, -1])
        touched = new.feature.unique()
        kept = new.and_slots_of(self, touched).one_per_image()
        place = place_in_feature(kept.feature)
        fits = place < self.keys.shape[1]
        kept, place = kept.at(fits), place[fits]
        self.keys[touched], self.images[touched], self.activations[touched] = _EMPTY, -1, 0
        self.keys[kept.feature, place] = kept.key
        self.images[kept.feature, place] = kept.image
        self.activations[kept.feature, place] = kept.activation


class Spread(NamedTuple):
    """The chosen samples of one layer, by feature, strongest first."""

    feature: Int[Tensor, " chosen"]
    """Whose samples they are."""
    sample: Int[Tensor, " chosen"]
    """Number of the sample."""
    activation: Float[Tensor, " chosen"]
    """Its strongest activation, normalised units."""
    quantile: Int[Tensor, " chosen"]
    """Tenth of the feature's samples, in order of activation: 0 weakest, 9 strongest."""
    draw: Int[Tensor, " chosen"]
    """Place among the feature's samples drawn at random; -1: not among the first of those."""


def spread(reservoir: SpreadExamples, top: TopExamples, n_parts: int, n_random: int) -> Spread:
    """One sample of each of `n_parts` equal parts of a feature's samples, none with a top's image;
    and the first `n_random` of the reservoir, unless they are top samples themselves.

    A part with nothing but such images has none. Tenths are those of the reservoir.
    """
    if n_parts < 1:
        raise ValueError(f"n_parts is {n_parts}, expected 1 or more.")
    is_filled = reservoir.keys != _EMPTY
    by_activation = _order(reservoir.activations.masked_fill(~is_filled, torch.inf))
    n_filled = is_filled.sum(1, keepdim=True).clamp_min(1)
    part = _part(by_activation, n_filled, n_parts).clamp_max(n_parts - 1)
    is_random = torch.arange(reservoir.keys.shape[1], device=part.device) < n_random
    is_shown = (reservoir.samples[:, :, None] == top.samples[:, None, :]).any(-1)
    chosen = _first_of_parts(reservoir, top, part, n_parts) | (is_random & is_filled & ~is_shown)
    feature, slot = chosen.nonzero(as_tuple=True)
    order = (feature * chosen.shape[1] - by_activation[feature, slot]).argsort()
    feature, slot = feature[order], slot[order]
    return Spread(
        feature,
        reservoir.samples[feature, slot],
        reservoir.activations[feature, slot],
        _part(by_activation[feature, slot], n_filled[feature, 0], 10),
        torch.where(slot < n_random, slot, -1),
    )


def draws(reservoir: SpreadExamples, top: TopExamples, n_random: int) -> Int[Tensor, "d_sae m_top"]:
    """Place of each top sample among the first `n_random` of the reservoir; -1: not among them.

    With those that `spread` adds they are `n_random` samples drawn at random, the strongest
    included as often as any.
    """
    is_it = top.samples[:, :, None] == reservoir.samples[:, None, :n_random]
    is_it &= (top.samples >= 0)[:, :, None]
    return torch.where(is_it.any(-1), is_it.int().argmax(-1), -1)


def _first_of_parts(
    reservoir: SpreadExamples, top: TopExamples, part: Int[Tensor, "d_sae m"], n_parts: int
) -> Bool[Tensor, "d_sae m"]:
    """Which slot comes first in its part, among images that are no top sample's."""
    is_top = (reservoir.images[:, :, None] == top.images[:, None, :]).any(-1)
    keys = reservoir.keys.masked_fill(is_top, _EMPTY)
    first = torch.full((len(keys), n_parts), _EMPTY, device=keys.device)
    first = first.scatter_reduce(1, part, keys, "amin")
    return (keys == first.gather(1, part)) & (keys != _EMPTY)


def _part(
    place: Int[Tensor, "*shape"], n: Int[Tensor, "*#shape"], n_parts: int
) -> Int[Tensor, "*shape"]:
    """Which of n_parts equal parts the middle of the place lies in, of n places."""
    return (2 * place + 1) * n_parts // (2 * n)


def _order(values: Float[Tensor, "d_sae m"]) -> Int[Tensor, "d_sae m"]:
    """Place of each value in its row, 0 the smallest; of equals the left one comes first."""
    return values.argsort(dim=1, stable=True).argsort(dim=1)


class _Drawn(NamedTuple):
    """Firings that may enter the reservoir, one row each."""

    feature: Int[Tensor, " firing"]
    key: Int[Tensor, " firing"]
    image: Int[Tensor, " firing"]
    activation: Float[Tensor, " firing"]

    @classmethod
    def of(cls, codes: SparseCodes, sample: Tensor, image: Tensor) -> "_Drawn":
        fires = (codes.values > 0) & (sample >= 0)[:, None]
        feature = codes.indices[fires]
        sample, image = (n.long()[:, None].expand_as(fires)[fires] for n in (sample, image))
        drawn = counter_hash(0, feature, image)
        key = (logical_shift(drawn, 33) << 32) | ((sample ^ drawn) & _LOW)
        return cls(feature, key, image, codes.values[fires].float())

    @classmethod
    def filled(cls, reservoir: SpreadExamples, features: Int[Tensor, " some"]) -> "_Drawn":
        keys = reservoir.keys[features]
        is_filled = keys != _EMPTY
        return cls(
            features[:, None].expand_as(keys)[is_filled],
            keys[is_filled],
            reservoir.images[features][is_filled],
            reservoir.activations[features][is_filled],
        )

    def at(self, rows: Tensor) -> "_Drawn":
        return _Drawn(*(column[rows] for column in self))

    def and_slots_of(
        self, reservoir: SpreadExamples, features: Int[Tensor, " touched"]
    ) -> "_Drawn":
        """Together with the filled slots of the given features."""
        both = zip(self, _Drawn.filled(reservoir, features), strict=True)
        return _Drawn(*(torch.cat(columns) for columns in both))

    def one_per_image(self) -> "_Drawn":
        """The preferred sample of each feature and image with its largest activation, in order."""
        strongest_first = self.at(self.activation.argsort(descending=True, stable=True))
        preferred_first = strongest_first.at(strongest_first.key.argsort(stable=True))
        return preferred_first.at(
            first_of_each_image(preferred_first.feature, preferred_first.image)
        )
