"""Examples: the samples on which each feature is most active (paper 5.1, Fig. 3).

One pass, memory [d_sae, m] however long the stream. Ranked by a sample's strongest activation over
its text tokens, ties by the smaller sample number, and at most one sample per image, since ten
questions about one picture would say one thing ten times. The result does not depend on how the
stream was cut into batches. (`example_spread` keeps samples of all activations.)

A slot of the ranking is one integer that sorts as the ranking does, best first:

    key = (largest float32 bits - bits of the activation) * 2^32 + sample number

(the bits of non-negative floats, read as integers, are ordered as the floats are).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_atlas.dictionary.codes import SparseCodes

_LARGEST_BITS = 2**31 - 1
_EMPTY = 2**63 - 1
"""Sorts after every real key."""


class TopExamples(NamedTuple):
    """The m best samples of every feature of one layer so far; updated in place."""

    keys: Int[Tensor, "d_sae m"]
    """Activation and sample of each slot in one integer, best first."""
    images: Int[Tensor, "d_sae m"]
    """Image of each slot's sample, -1 where the slot is empty."""

    @classmethod
    def empty(cls, d_sae: int, m: int, device: torch.device | str = "cpu") -> "TopExamples":
        """No samples yet."""
        return cls(
            torch.full((d_sae, m), _EMPTY, device=device), torch.full((d_sae, m), -1, device=device)
        )

    @property
    def activations(self) -> Float[Tensor, "d_sae m"]:
        """Strongest activation in each slot's sample, falling; 0 where the slot is empty."""
        return (_LARGEST_BITS - (self.keys >> 32)).int().view(torch.float32)

    @property
    def samples(self) -> Int[Tensor, "d_sae m"]:
        """Sample number of each slot, -1 where the slot is empty."""
        return (self.keys & 0xFFFFFFFF).masked_fill(self.keys == _EMPTY, -1)

    def add(
        self, codes: SparseCodes, sample: Int[Tensor, " token"], image: Int[Tensor, " token"]
    ) -> None:
        """Let the tokens of a batch compete; tokens whose sample is negative are passed over.

        `sample` and `image` are numbers in the whole data set, 0 or more.
        """
        require_numbers(codes, sample, image)
        self._rank(_Contenders.of(codes, sample, image))

    def merge(self, other: "TopExamples") -> None:
        """Let the samples of another ranking compete, of other tokens."""
        every = torch.arange(len(other.keys), device=other.keys.device)
        self._rank(_Contenders.filled(other, every))

    def _rank(self, contenders: "_Contenders") -> None:
        new = contenders.better_than(self.keys[:, -1])
        touched = new.feature.unique()
        all_of_them = new.and_slots_of(self, touched)
        best_first = all_of_them.at(all_of_them.key.argsort(stable=True))
        ranked = best_first.at(first_of_each_image(best_first.feature, best_first.image))
        place = place_in_feature(ranked.feature)
        fits = place < self.keys.shape[1]
        self.keys[touched], self.images[touched] = _EMPTY, -1
        self.keys[ranked.feature[fits], place[fits]] = ranked.key[fits]
        self.images[ranked.feature[fits], place[fits]] = ranked.image[fits]


def token_activations(
    codes: SparseCodes, rows: Int[Tensor, " token"], features: Int[Tensor, " feature"]
) -> Float[Tensor, "token feature"]:
    """Activation of the chosen features on the chosen tokens; 0 where silent.

    The second pass over a top sample: `rows` are its tokens in the batch.
    """
    is_feature = codes.indices[rows].unsqueeze(-1) == features
    return (codes.values[rows].unsqueeze(-1) * is_feature).sum(1)


class _Contenders(NamedTuple):
    """Firings that may enter the ranking, one row each."""

    feature: Int[Tensor, " firing"]
    key: Int[Tensor, " firing"]
    image: Int[Tensor, " firing"]

    @classmethod
    def of(cls, codes: SparseCodes, sample: Tensor, image: Tensor) -> "_Contenders":
        fires = (codes.values > 0) & (sample >= 0)[:, None]
        bits = codes.values.float()[fires].view(torch.int32).long()
        key = ((_LARGEST_BITS - bits) << 32) + sample[:, None].expand_as(fires)[fires]
        return cls(codes.indices[fires], key, image[:, None].expand_as(fires)[fires])

    @classmethod
    def filled(cls, top: TopExamples, features: Int[Tensor, " some"]) -> "_Contenders":
        keys, images = top.keys[features], top.images[features]
        filled = keys != _EMPTY
        return cls(features[:, None].expand_as(keys)[filled], keys[filled], images[filled])

    def at(self, rows: Tensor) -> "_Contenders":
        return _Contenders(*(column[rows] for column in self))

    def better_than(self, worst_key: Int[Tensor, " d_sae"]) -> "_Contenders":
        """After the first batches hardly any are: this keeps the sorting small."""
        return self.at(self.key < worst_key[self.feature])

    def and_slots_of(self, top: TopExamples, features: Int[Tensor, " touched"]) -> "_Contenders":
        """Together with the filled slots of the given features."""
        both = zip(self, _Contenders.filled(top, features), strict=True)
        return _Contenders(*(torch.cat(columns) for columns in both))


def first_of_each_image(
    feature: Int[Tensor, " firing"], image: Int[Tensor, " firing"]
) -> Int[Tensor, " kept"]:
    """The first row of every feature and image, by feature, and otherwise in the rows' order."""
    picture = feature * 2**32 + image
    by_picture = picture.argsort(stable=True)
    grouped = picture[by_picture]
    is_first = torch.ones_like(grouped, dtype=torch.bool)
    is_first[1:] = grouped[1:] != grouped[:-1]
    rows = by_picture[is_first].sort().values
    return rows[feature[rows].argsort(stable=True)]


def place_in_feature(feature: Int[Tensor, " row"]) -> Int[Tensor, " row"]:
    """How many rows of the same feature come before each; rows lie together by feature."""
    _, n_each = feature.unique_consecutive(return_counts=True)
    first = (n_each.cumsum(0) - n_each).repeat_interleave(n_each)
    return torch.arange(len(first), device=first.device) - first


def require_numbers(codes: SparseCodes, sample: Tensor, image: Tensor) -> None:
    """Refuse numbers that do not fit the codes, or that a slot cannot hold."""
    n_tokens = codes.values.shape[:1]
    if not n_tokens == sample.shape == image.shape:
        raise ValueError(
            f"codes of {n_tokens[0]} tokens, samples {list(sample.shape)}, images "
            f"{list(image.shape)}: pass one sample and one image number per encoded token."
        )
    if not codes.values.isfinite().all():
        raise ValueError("activations hold NaN or inf, which would rank first; check the SAE.")
    image = image[sample >= 0]
    if (sample >= 2**32 - 1).any() or (image < 0).any() or (image >= 2**32).any():
        raise ValueError(
            "sample and image numbers must be 0 or more and fit in 32 bits: "
            "number them 0, 1, 2, ... within the data set."
        )
