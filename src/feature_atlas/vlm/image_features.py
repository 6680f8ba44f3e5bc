"""What the text model gets of pictures, and what else can stand in their place (paper 3.1).

Families shape them differently: a picture each, a tile each, all in one row. Here they are always
one row per image token, in the order of the prompts, so that a mean or another picture's can stand
in their place in any family.
"""

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.vlm.token_roles import PromptBatch, Role


class ImageFeatures(NamedTuple):
    """Of all pictures of a batch, in the order of its image tokens."""

    levels: tuple[Float[Tensor, "image_token d_model"], ...]
    """What stands for the image tokens before layer 0; where a family adds more to them after its
    first layers (DeepStack), that too."""
    output: Any
    """The same as the model's own `get_image_features` returns it."""

    def replaced(self, levels: Iterable[Float[Tensor, "image_token d_model"]]) -> "ImageFeatures":
        """Others in their place."""
        new = tuple(levels)
        if [level.shape for level in new] != [level.shape for level in self.levels]:
            raise ValueError(
                f"features of {[list(level.shape) for level in new]} in the place of "
                f"{[list(level.shape) for level in self.levels]}: expected as many image tokens."
            )
        output = copy.copy(self.output)
        kept = iter(new)
        output.pooler_output = _shaped(next(kept), self.output.pooler_output)
        if len(new) > 1:
            output.deepstack_features = [
                _shaped(next(kept), deep) for deep in self.output.deepstack_features
            ]
        return ImageFeatures(new, output)

    def and_then(self, others: "ImageFeatures") -> "ImageFeatures":
        """These, and behind them those of as many other pictures, as of one batch."""
        output = copy.copy(self.output)
        output.pooler_output = _chained(self.output.pooler_output, others.output.pooler_output)
        if len(self.levels) > 1:
            pairs = zip(
                self.output.deepstack_features, others.output.deepstack_features, strict=True
            )
            output.deepstack_features = [_chained(*pair) for pair in pairs]
        levels = (torch.cat(pair) for pair in zip(self.levels, others.levels, strict=True))
        return ImageFeatures(tuple(levels), output)


class MeanImage(NamedTuple):
    """The mean of many pictures' features."""

    levels: tuple[Float[Tensor, "patch d_model"], ...]
    """At each place of a picture; one row for all places where pictures differ in length."""

    def in_place_of(self, features: ImageFeatures, batch: PromptBatch) -> ImageFeatures:
        """It, in the place of every picture of a batch."""
        n_tokens = n_image_tokens(batch)
        return features.replaced(
            _repeated(mean, features.levels[0], n_tokens) for mean in self.levels
        )

    def over_places(self) -> "MeanImage":
        """One row for all places."""
        return MeanImage(
            tuple(level.float().mean(0, keepdim=True).to(level.dtype) for level in self.levels)
        )


def image_features(model: PreTrainedModel, batch: PromptBatch) -> ImageFeatures:
    """The features of a batch's pictures, as the model itself computes them."""
    if not batch.has_pictures:
        raise ValueError("a batch without images: expected pixel values, one picture a prompt.")
    wanted = accepted(model.base_model.get_image_features, batch.processed)
    pixels = wanted.pop("pixel_values").to(model.dtype)
    output = model.base_model.get_image_features(pixel_values=pixels, return_dict=True, **wanted)
    deep = getattr(output, "deepstack_features", None) or []
    return ImageFeatures(tuple(map(_in_a_row, [output.pooler_output, *deep])), output)


def accepted(function: Callable[..., Any], named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of some tensors that a family's function takes."""
    names = inspect.signature(function).parameters
    return {name: tensor for name, tensor in named.items() if name in names}


def n_image_tokens(batch: PromptBatch) -> Int[Tensor, " prompt"]:
    """Image tokens of each prompt."""
    return (batch.roles == Role.IMAGE).sum(1)


@torch.no_grad()
def mean_image(model: PreTrainedModel, batches: Iterable[PromptBatch]) -> MeanImage:
    """Mean features over many pictures, at each place (corrupt run, paper 5.2).

    Where a processor gives pictures different numbers of tokens, places cannot be matched, and the
    mean is over them too.
    """
    totals: list[Tensor] = []
    lengths: set[int] = set()
    n_pictures = n_tokens = 0
    for batch in batches:
        counts = n_image_tokens(batch)
        lengths |= set(counts.tolist())
        levels = [level.double() for level in image_features(model, batch).levels]
        if len(lengths) == 1:
            sums = [level.unflatten(0, (len(counts), -1)).sum(0) for level in levels]
        else:
            sums = [level.sum(0, keepdim=True) for level in levels]
            totals = [total.sum(0, keepdim=True) for total in totals]
        totals = [a + b for a, b in zip(totals, sums, strict=True)] if totals else sums
        n_pictures, n_tokens = n_pictures + len(counts), n_tokens + int(counts.sum())
    if not totals:
        raise ValueError("no images: the mean image needs at least one.")
    n_summed = n_pictures if len(lengths) == 1 else n_tokens
    return MeanImage(tuple((total / n_summed).to(model.dtype) for total in totals))


def _in_a_row(features: Any) -> Float[Tensor, "image_token d_model"]:
    """A tensor, or one for each picture, as one row per image token."""
    if isinstance(features, Tensor):
        return features.flatten(0, -2)
    return torch.cat([_in_a_row(one) for one in features])


def _shaped(row: Float[Tensor, "image_token d_model"], like: Any) -> Any:
    """One row per image token in the shape that the family's own features have."""
    if isinstance(like, Tensor):
        return row.view(like.shape).to(like.dtype)
    lengths = [one[..., 0].numel() for one in like]
    return [_shaped(part, one) for part, one in zip(row.split(lengths), like, strict=True)]


def _chained(first: Any, second: Any) -> Any:
    if isinstance(first, Tensor):
        return torch.cat([first, second])
    return [*first, *second]


def _repeated(
    mean: Float[Tensor, "patch d_model"],
    like: Float[Tensor, "image_token d_model"],
    n_tokens: Int[Tensor, " prompt"],
) -> Float[Tensor, "image_token d_model"]:
    if len(mean) == 1:
        return mean.expand_as(like)
    if (n_tokens != len(mean)).any():
        raise ValueError(
            f"pictures of {n_tokens.unique().tolist()} image tokens, and a mean image of "
            f"{len(mean)}: expected as many in every picture, or a mean over all places."
        )
    return mean.repeat(len(n_tokens), 1)
