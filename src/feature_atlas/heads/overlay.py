"""Where a head looks: attention from the text to the picture, laid over it (paper 5.2, C.2).

    w_p = mean over text queries t of softmax(q_t . k / sqrt(d_head))_p        p: image token

One weight per image token; together they are the head's image mass, the share of its attention
that falls on the picture at all. The strongest heads of a feature are shown beside its weakest (the
paper's control, C.3) and beside random ones near it in layer and image mass, since a weak head may
just look away, and early heads look elsewhere than late ones.

`token_grid` says where a token lies in the picture.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.vlm.decoder_inputs import DecoderInputs
from feature_atlas.vlm.head_probe import Head, probed_heads
from feature_atlas.vlm.residual_stream import residuals

HEAT_RGB = (255, 40, 0)
COLD_RGB = (0, 0, 60)
# Blending weight of the colours.
OPACITY = 0.55
# A random head is drawn among the nearest quarter of the heads that are left, at most this many.
N_NEAREST = 5
# Image mass that counts as much as one layer between a head and its match.
MASS_PER_LAYER = 0.02


class ImageAttention(NamedTuple):
    """Attention of chosen heads from text to picture."""

    weights: list[Float[Tensor, "head token"]]
    """Of each prompt, mean over text queries; on its image tokens in their order; sums to
    image_mass."""
    image_mass: Float[Tensor, "batch head"]
    """Share of the heads' attention that falls on image tokens, 0 to 1."""


class ChosenHeads(NamedTuple):
    """Heads to show for one feature."""

    top: list[Head]
    """Largest absolute scores, the largest first."""
    bottom: list[Head]
    """Smallest absolute scores, the smallest first: mostly inactive, a weak control."""
    random: list[Head]
    """For each top head another of about its layer that looks at the picture about as much."""


def image_attention(
    model: PreTrainedModel,
    inputs: DecoderInputs,
    query_mask: Bool[Tensor, "batch token"],
    image_mask: Bool[Tensor, "batch token"],
    heads: Sequence[Head],
) -> ImageAttention:
    """Attention of ``heads`` to the image tokens, averaged over the query tokens."""
    _require_pictures(image_mask)
    _require_queries(query_mask)
    weights: dict[Head, Tensor] = {}

    def probe(part: str, layer: int, tensor: Tensor) -> Tensor:
        if part == "pattern":
            for head in (h for at, h in heads if at == layer):
                weights[layer, head] = _mean_over_queries(tensor[:, head], query_mask)
        return tensor

    deepest = max(layer for layer, _ in heads)
    with torch.no_grad(), probed_heads(model, probe):
        residuals(model, inputs, [deepest])
    per_token = torch.stack([weights[head] for head in heads], dim=1)
    on_image = [row[:, mask] for row, mask in zip(per_token, image_mask, strict=True)]
    return ImageAttention(on_image, torch.stack([row.sum(-1) for row in on_image]))


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
    """The n strongest heads by |score|, the n weakest, and n random ones matched to the strongest.

    A matched head is drawn among those nearest in image mass and layer to its top head that are
    neither top nor bottom nor drawn already. With fewer than 3 n heads n is lowered.
    """
    n = min(n, scores.numel() // 3)
    if scores.shape != image_mass.shape or n < 1:
        raise ValueError(
            f"scores are {list(scores.shape)}, image mass {list(image_mass.shape)}: expected one "
            "shape with at least 3 heads, for a top, a bottom and a random one."
        )
    n_heads = scores.shape[1]
    order = scores.abs().flatten().argsort(descending=True, stable=True).tolist()
    top, middle, bottom = order[:n], order[n:-n], order[: -n - 1 : -1]
    random = _matched(top, middle, image_mass, np.random.default_rng(seed))
    return ChosenHeads(*([divmod(i, n_heads) for i in chosen] for chosen in (top, bottom, random)))


def _matched(
    wanted: list[int],
    pool: list[int],
    image_mass: Float[Tensor, "layer head"],
    random: np.random.Generator,
) -> list[int]:
    """For each wanted head one of the pool's nearest, without replacement."""
    mass, n_heads = image_mass.flatten().tolist(), image_mass.shape[1]

    def distance(one: int, other: int) -> float:
        layers = abs(one // n_heads - other // n_heads)
        return float(abs(mass[one] - mass[other]) + MASS_PER_LAYER * layers)

    left, drawn = list(pool), []
    for head in wanted:
        left.sort(key=partial(distance, head))
        n_near = min(N_NEAREST, max(1, len(left) // 4))
        drawn.append(left.pop(int(random.integers(n_near))))
    return drawn


def _require_pictures(image_mask: Bool[Tensor, "batch token"]) -> None:
    counts = image_mask.sum(1).unique().tolist()
    if 0 in counts:
        raise ValueError(
            f"prompts with {counts} image tokens; expected some in each: overlays need prompts "
            "with one image each."
        )


def _require_queries(query_mask: Bool[Tensor, "batch token"]) -> None:
    if not query_mask.any(1).all():
        first = int((~query_mask.any(1)).nonzero()[0])
        raise ValueError(f"sample {first} of the batch has no query token; its mask is all False.")


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
