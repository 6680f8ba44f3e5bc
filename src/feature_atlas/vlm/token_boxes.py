"""The box of each image token in the picture, in the model's own packing (paper 5.2, C.2).

Families put tiles together in their own ways: with a view of the whole, newlines between rows,
padding cut off, a grid drawn together into fewer tokens. So what the projector returns for each
part of each tile is replaced by a mark that says where that part lies (`measured_geometry`), and
the model's own `get_image_features` packs the marks. That a projector returns a tile's parts row by
row is the one thing believed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel, ProcessorMixin

from feature_atlas.vlm.image_features import image_features, n_image_tokens
from feature_atlas.vlm.measured_geometry import UnknownGeometryError, tiles
from feature_atlas.vlm.processor_geometry import Geometry, grid_shape, seen_box

SIGN = 4096.0
"""Stands in every mark; a token without it is none, such as a newline."""
ALIKE = 0.05
"""Tokens whose widths differ by no larger share are of one grid."""

Boxes = Float[np.ndarray, "token 4"]
"""Left, top, right, bottom in pixels of the picture; NaN for a token without a place."""


class TokenBoxes(NamedTuple):
    """Where the image tokens of one prompt lie."""

    boxes: Boxes
    """Some may reach out of the picture, into padding."""
    whole: Geometry | None
    """Where tokens are the parts of one tile, row by row: that tile."""


@torch.no_grad()
def token_boxes(
    model: PreTrainedModel, processor: ProcessorMixin, width: int, height: int
) -> TokenBoxes:
    """Of a picture of one size; an UnknownGeometryError says why they are not known."""
    _require_tried(model)
    sent = tiles(processor, width, height)
    n_tokens, first = int(n_image_tokens(sent.batch)), sent.seen[0]
    if sent.packed:
        return TokenBoxes(_parts(first, n_tokens), first)
    found: list[Boxes] = []
    with _marked(_projector(model), sent.seen, found):
        packed = image_features(model, sent.batch.to(model.device)).levels[0]
    boxes = _read(packed.double().cpu().numpy())
    if len(boxes) != n_tokens:
        raise UnknownGeometryError(f"{len(boxes)} features for {n_tokens} image tokens.")
    (parts,) = found
    if len(sent.seen) == 1 and parts.shape == boxes.shape and np.allclose(parts, boxes, atol=0.01):
        return TokenBoxes(parts, first)
    return TokenBoxes(_drawn_together(boxes), None)


def _require_tried(model: PreTrainedModel) -> None:
    vision = getattr(model.config, "vision_config", None)
    if getattr(vision, "model_type", None) == "pixtral":
        raise UnknownGeometryError(
            "pictures of a Pixtral tower were never measured: its processor needs torchvision."
        )


def _parts(seen: Geometry | None, n_parts: int) -> Boxes:
    """Boxes of a tile's square parts, row by row."""
    if seen is None:
        return np.full((n_parts, 4), np.nan)
    try:
        rows, columns = grid_shape(n_parts, seen)
    except ValueError as error:
        raise UnknownGeometryError(str(error)) from error
    whole = seen_box(seen)
    x = np.linspace(whole.left, whole.right, columns + 1)
    y = np.linspace(whole.top, whole.bottom, rows + 1)
    row, column = np.divmod(np.arange(n_parts), columns)
    return np.stack([x[column], y[row], x[column + 1], y[row + 1]], axis=1)


def _projector(model: PreTrainedModel) -> nn.Module:
    """What brings a tile's parts to the width of the text model."""
    for name in ("multi_modal_projector", "connector"):
        module = getattr(model.base_model, name, None)
        if isinstance(module, nn.Module):
            return module
    raise UnknownGeometryError(
        f"{type(model.base_model).__name__} has neither multi_modal_projector nor connector, whose "
        "rows would be the parts of a tile."
    )


@contextmanager
def _marked(
    projector: nn.Module, seen: list[Geometry | None], found: list[Boxes]
) -> Iterator[None]:
    """Let the projector return marks; ``found`` gets what they say, tile by tile."""

    def mark(_module: nn.Module, _args: object, output: Tensor) -> Tensor:
        n_rows = output[..., 0].numel()
        if n_rows % len(seen):
            raise UnknownGeometryError(f"{len(seen)} tiles became {n_rows} parts: expected a grid.")
        boxes = np.concatenate([_parts(tile, n_rows // len(seen)) for tile in seen])
        found.append(boxes)
        marks = torch.zeros(output.shape, dtype=torch.float32, device=output.device)
        rows = marks.view(n_rows, -1)
        rows[:, 0] = SIGN
        rows[:, 1:5] = torch.from_numpy(boxes)
        return marks

    handle = projector.register_forward_hook(mark)
    try:
        yield
    finally:
        handle.remove()


def _read(marks: Float[np.ndarray, "token d_model"]) -> Boxes:
    """What marks say; nothing for what is none."""
    return np.where(np.isclose(marks[:, :1], SIGN), marks[:, 1:5], np.nan)


def _drawn_together(boxes: Boxes) -> Boxes:
    """Boxes that meet: a token that stands for more than one part is as wide as its step."""
    wide = boxes.copy()
    for low in (0, 1):
        size = boxes[:, low + 2] - boxes[:, low]
        middle = (boxes[:, low + 2] + boxes[:, low]) / 2
        for grid in _of_one_size(size):
            between = np.diff(np.sort(middle[grid]))
            steps = between[between > size[grid].min() / 2]
            step = max(np.median(steps) if len(steps) else 0, np.median(size[grid]))
            wide[grid, low] = middle[grid] - step / 2
            wide[grid, low + 2] = middle[grid] + step / 2
    return wide


def _of_one_size(size: Float[np.ndarray, " token"]) -> list[np.ndarray]:
    """Places of tokens of about one width."""
    order = np.argsort(size)[: np.isfinite(size).sum()]
    jumps = np.flatnonzero(np.diff(size[order]) > ALIKE * size[order][:-1]) + 1
    return np.split(order, jumps) if len(order) else []
