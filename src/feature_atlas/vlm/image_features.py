"""What the text model gets of pictures, and the mean that can stand in their place (paper 3.1)."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.vlm.image_rows import ImageFeatures, in_rows
from feature_atlas.vlm.token_roles import PromptBatch, Role


class MeanImage(NamedTuple):
    """The mean of many pictures' features."""

    levels: tuple[Float[Tensor, "patch d_model"], ...]
    """At each place of a picture; one row for all places where pictures differ in length."""

    def in_place_of(self, features: ImageFeatures, batch: PromptBatch) -> ImageFeatures:
        """It, in the place of every picture of a batch.

        ``features`` are those of any picture: they show how the family shapes them.
        """
        n_tokens = n_image_tokens(batch)
        rows = [_repeated(mean, n_tokens) for mean in self.levels]
        return features.of_others(rows, n_tokens.tolist())

    def over_places(self) -> "MeanImage":
        """One row for all places."""
        return MeanImage(
            tuple(level.float().mean(0, keepdim=True).to(level.dtype) for level in self.levels)
        )


def image_features(model: PreTrainedModel, batch: PromptBatch) -> ImageFeatures:
    """The features of a batch's pictures: those it has, or as the model itself computes them."""
    if batch.features is not None:
        return batch.features
    if not batch.has_pictures:
        raise ValueError("a batch without images: expected pixel values, one picture a prompt.")
    wanted = accepted(model.base_model.get_image_features, batch.processed)
    pixels = wanted.pop("pixel_values").to(model.dtype)
    output = model.base_model.get_image_features(pixel_values=pixels, return_dict=True, **wanted)
    deep = getattr(output, "deepstack_features", None) or []
    return ImageFeatures(tuple(map(in_rows, [output.pooler_output, *deep])), output)


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


def _repeated(
    mean: Float[Tensor, "patch d_model"], n_tokens: Int[Tensor, " prompt"]
) -> Float[Tensor, "image_token d_model"]:
    if len(mean) == 1:
        return mean.expand(int(n_tokens.sum()), -1)
    if (n_tokens != len(mean)).any():
        raise ValueError(
            f"pictures of {n_tokens.unique().tolist()} image tokens, and a mean image of "
            f"{len(mean)}: expected as many in every picture, or a mean over all places."
        )
    return mean.repeat(len(n_tokens), 1)
