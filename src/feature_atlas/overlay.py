"""Where a head looks: attention from the text to the picture, laid over it (paper 5.2, C.2).

    w_p = mean over text queries t of softmax(q_t . k / sqrt(d_head))_p        p: image token

One weight per patch; together they are the head's image mass, the share of its attention that falls
on the picture at all. The strongest heads of a feature are shown beside its weakest (the paper's
control, C.3) and beside random ones of the same image mass, since a weak head may just look away.

A weight belongs to a patch of what the vision tower saw. The processor has padded, resized and
cropped the picture before: ``Geometry`` remembers how, so that weights land where they belong.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel
from transformers.image_utils import SizeDict

from feature_atlas.head_probe import Head, probed_heads
from feature_atlas.vlm import residuals

HEAT_RGB = (255, 40, 0)
COLD_RGB = (0, 0, 60)
# Blending weight of the colours.
OPACITY = 0.55
# A random head is drawn among this many heads nearest in image mass.
N_NEAREST = 5


class ImageAttention(NamedTuple):
    """Attention of chosen heads from text to picture."""

    weights: Float[Tensor, "batch head patch"]
    """Mean over text queries; patches row by row; sums to image_mass."""
    image_mass: Float[Tensor, "batch head"]
    """Share of the heads' attention that falls on image tokens, 0 to 1."""


class ChosenHeads(NamedTuple):
    """Heads to show for one feature."""

    top: list[Head]
    """Largest absolute scores, the largest first."""
    bottom: list[Head]
    """Smallest absolute scores, the smallest first: mostly inactive, a weak control."""
    random: list[Head]
    """For each top head another that looks at the picture about as much: the fair control."""


class Geometry(NamedTuple):
    """How a processor maps a picture: x_seen = scale_x * x + offset_x, likewise y; in pixels."""

    scale_x: float
    """Pixels seen per pixel of the picture, across."""
    scale_y: float
    """Pixels seen per pixel of the picture, down."""
    offset_x: float
    """Where the picture's left edge comes to lie: positive when padded, negative when cropped."""
    offset_y: float
    """Where its upper edge comes to lie."""
    width: int
    """Of what the vision tower sees."""
    height: int
    """Of what the vision tower sees."""


# ---------------------------------------------------------------- attention


def image_attention(
    model: PreTrainedModel,
    inputs_embeds: Float[Tensor, "batch token d_model"],
    attention_mask: Int[Tensor, "batch token"],
    query_mask: Bool[Tensor, "batch token"],
    image_mask: Bool[Tensor, "batch token"],
    heads: Sequence[Head],
) -> ImageAttention:
    """Attention of ``heads`` to the image tokens, averaged over the query tokens."""
    n_patches = _require_patches(image_mask)
    _require_queries(query_mask)
    weights: dict[Head, Tensor] = {}

    def probe(part: str, layer: int, tensor: Tensor) -> Tensor:
        if part == "pattern":
            for head in (h for at, h in heads if at == layer):
                weights[layer, head] = _mean_over_queries(tensor[:, head], query_mask)
        return tensor

    deepest = max(layer for layer, _ in heads)
    with torch.no_grad(), probed_heads(model, probe):
        residuals(model, inputs_embeds, attention_mask, [deepest])
    per_token = torch.stack([weights[head] for head in heads], dim=1)
    on_image = image_mask.unsqueeze(1).expand_as(per_token)
    per_patch = per_token[on_image].view(*per_token.shape[:2], n_patches)
    return ImageAttention(per_patch, per_patch.sum(-1))


def _mean_over_queries(
    pattern: Float[Tensor, "batch query token"], query_mask: Bool[Tensor, "batch query"]
) -> Float[Tensor, "batch token"]:
    share = query_mask / query_mask.sum(1, keepdim=True)
    return torch.einsum("bqt,bq->bt", pattern.float(), share)


def choose_heads(
    scores: Float[Tensor, "layer head"],
    image_mass: Float[Tensor, "layer head"],
    *,
    n: int = 3,
    seed: int = 0,
) -> ChosenHeads:
    """The n strongest heads by |score|, the n weakest, and n random ones matched on image mass.

    A matched head is drawn among those nearest in image mass to its top head that are neither top
    nor drawn already; it may be a bottom head only if none else is left.
    """
    if scores.shape != image_mass.shape or scores.numel() < 3 * n:
        raise ValueError(
            f"scores are {list(scores.shape)}, image mass {list(image_mass.shape)}: expected one "
            f"shape with at least {3 * n} heads for {n} top, bottom and random ones each."
        )
    n_heads = scores.shape[1]
    order = scores.abs().flatten().argsort(descending=True, stable=True).tolist()
    top, middle, bottom = order[:n], order[n:-n], order[: -n - 1 : -1]
    random = _matched(top, middle, image_mass.flatten().tolist(), np.random.default_rng(seed))
    return ChosenHeads(*([divmod(i, n_heads) for i in chosen] for chosen in (top, bottom, random)))


def _matched(
    wanted: list[int], pool: list[int], mass: list[float], random: np.random.Generator
) -> list[int]:
    """For each wanted head one of the pool's nearest in mass, without replacement."""
    left, drawn = list(pool), []
    for head in wanted:
        left.sort(key=lambda other: abs(mass[other] - mass[head]))
        drawn.append(left.pop(int(random.integers(min(N_NEAREST, len(left))))))
    return drawn


def _require_patches(image_mask: Bool[Tensor, "batch token"]) -> int:
    counts = image_mask.sum(1).unique().tolist()
    if len(counts) != 1 or counts[0] == 0:
        raise ValueError(
            f"prompts with {counts} image tokens; expected the same number, above 0, in all: "
            "overlays need prompts with one image each."
        )
    return int(counts[0])


def _require_queries(query_mask: Bool[Tensor, "batch token"]) -> None:
    if not query_mask.any(1).all():
        first = int((~query_mask.any(1)).nonzero()[0])
        raise ValueError(f"sample {first} of the batch has no query token; its mask is all False.")


# ---------------------------------------------------------------- geometry


def geometry(processor: Any, width: int, height: int) -> Geometry:
    """What an image processor of the CLIP or Llava kind does to a picture: pad, resize, crop.

    Padding is Llava's (to a square, picture in the middle). Turn EXIF rotations upright before the
    processor and before this: neither of the two knows of them.
    """
    side = max(width, height) if getattr(processor, "do_pad", False) else None
    padded_width, padded_height = side or width, side or height
    pad_x, pad_y = (padded_width - width) // 2, (padded_height - height) // 2
    new_width, new_height = padded_width, padded_height
    if processor.do_resize:
        new_width, new_height = _resized(processor.size, padded_width, padded_height)
    seen_width, seen_height = new_width, new_height
    if getattr(processor, "do_center_crop", False):
        seen_width, seen_height = processor.crop_size["width"], processor.crop_size["height"]
    scale_x, scale_y = new_width / padded_width, new_height / padded_height
    return Geometry(
        scale_x=scale_x,
        scale_y=scale_y,
        offset_x=pad_x * scale_x - (new_width - seen_width) // 2,
        offset_y=pad_y * scale_y - (new_height - seen_height) // 2,
        width=seen_width,
        height=seen_height,
    )


def _resized(size: SizeDict, width: int, height: int) -> tuple[int, int]:
    """Width and height after the resize, rounded as transformers rounds."""
    if size.get("shortest_edge") and not size.get("longest_edge"):
        short, long = sorted((width, height))
        new_short, new_long = size["shortest_edge"], int(size["shortest_edge"] * long / short)
        return (new_short, new_long) if width <= height else (new_long, new_short)
    if size.get("height") and size.get("width"):
        return size["width"], size["height"]
    raise ValueError(
        f"image processor with size {dict(size)}: expected shortest_edge alone, or height and "
        "width. Give the overlay's geometry for this processor by hand."
    )


def grid_shape(n_patches: int, seen: Geometry) -> tuple[int, int]:
    """Rows and columns of the patch grid: square patches that tile what the tower sees."""
    side = (seen.width * seen.height / n_patches) ** 0.5
    rows, columns = round(seen.height / side), round(seen.width / side)
    if rows * columns != n_patches:
        raise ValueError(
            f"{n_patches} image tokens do not tile {seen.width} x {seen.height} pixels in square "
            "patches; this vision tower adds or merges tokens."
        )
    return rows, columns


def on_picture(
    grid: Float[np.ndarray, "row column"], seen: Geometry, width: int, height: int
) -> Float[np.ndarray, "height width"]:
    """The patch weight under every pixel of the original picture; 0 where it was cropped away."""
    rows, columns = grid.shape
    x = seen.scale_x * (np.arange(width) + 0.5) + seen.offset_x
    y = seen.scale_y * (np.arange(height) + 0.5) + seen.offset_y
    column = np.floor(x * columns / seen.width).astype(int)
    row = np.floor(y * rows / seen.height).astype(int)
    visible = np.outer((row >= 0) & (row < rows), (column >= 0) & (column < columns))
    heat = grid[np.ix_(row.clip(0, rows - 1), column.clip(0, columns - 1))]
    return np.where(visible, heat, 0.0)


def blend(
    picture: Image.Image | UInt8[np.ndarray, "height width 3"],
    heat: Float[np.ndarray, "height width"],
) -> Image.Image:
    """The picture with its hottest pixel tinted red and cold ones dimmed to blue.

    Heat is divided by its largest value: an overlay shows where a head looks, not how much. All
    zeros: dimmed throughout.
    """
    colours = np.asarray(picture.convert("RGB") if isinstance(picture, Image.Image) else picture)
    if colours.shape[:2] != heat.shape:
        raise ValueError(
            f"picture of {list(colours.shape[:2])} pixels, heat map of {list(heat.shape)}: "
            "bring the patch grid to the picture with on_picture first."
        )
    share = (heat / heat.max() if heat.max() > 0 else np.zeros_like(heat))[..., None]
    tint = share * np.asarray(HEAT_RGB) + (1 - share) * np.asarray(COLD_RGB)
    return Image.fromarray(((1 - OPACITY) * colours + OPACITY * tint).astype(np.uint8))
