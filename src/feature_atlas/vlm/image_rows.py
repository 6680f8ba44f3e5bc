"""What stands for a prompt's image tokens, one row each, and as its family shapes it (paper 3.1).

Families shape features differently: a picture each, a tile each, all in one row. Here they are
always one row per image token, in the order of the prompts, so that a mean or another picture's can
stand in their place in any family.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class ImageFeatures(NamedTuple):
    """Of all pictures of a batch, in the order of its image tokens."""

    levels: tuple[Float[Tensor, "image_token d_model"], ...]
    """What stands for the image tokens before layer 0; where a family adds more to them after its
    first layers (DeepStack), that too."""
    output: Any
    """The same as the model's own `get_image_features` returns it."""

    def replaced(self, levels: Iterable[Float[Tensor, "image_token d_model"]]) -> "ImageFeatures":
        """Others in their place, as many."""
        new, shaped = tuple(levels), self.output.pooler_output
        if [level.shape for level in new] != [level.shape for level in self.levels]:
            raise ValueError(
                f"features of {[list(level.shape) for level in new]} in the place of "
                f"{[list(level.shape) for level in self.levels]}: expected as many image tokens."
            )
        lengths = None if isinstance(shaped, Tensor) else [one[..., 0].numel() for one in shaped]
        return self.of_others(new, lengths or [len(new[0])])

    def of_others(
        self, levels: Sequence[Float[Tensor, "image_token d_model"]], lengths: Sequence[int]
    ) -> "ImageFeatures":
        """Rows of other pictures, of ``lengths`` image tokens each, in this family's shape."""
        output = copy.copy(self.output)
        output.pooler_output = _shaped(levels[0], self.output.pooler_output, lengths)
        if len(levels) > 1:
            pairs = zip(levels[1:], self.output.deepstack_features, strict=True)
            output.deepstack_features = [_shaped(level, like, lengths) for level, like in pairs]
        return ImageFeatures(tuple(levels), output)

    def to(self, device: torch.device | str) -> "ImageFeatures":
        """The same on another device."""
        return self.replaced(level.to(device) for level in self.levels)

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


def in_rows(features: Any) -> Float[Tensor, "image_token d_model"]:
    """A tensor, or one for each picture, as one row per image token."""
    if isinstance(features, Tensor):
        return features.flatten(0, -2)
    return torch.cat([in_rows(one) for one in features])


def _shaped(rows: Float[Tensor, "image_token d_model"], like: Any, lengths: Sequence[int]) -> Any:
    """Rows in the family's shape: behind the first dimension it is the same for every picture."""
    if isinstance(like, Tensor):
        return rows.reshape(-1, *like.shape[1:]).to(like.dtype)
    return [_shaped(part, like[0], ()) for part in rows.split(list(lengths))]


def _chained(first: Any, second: Any) -> Any:
    if isinstance(first, Tensor):
        return torch.cat([first, second])
    return [*first, *second]
