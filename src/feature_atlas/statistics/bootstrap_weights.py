"""Poisson bootstrap weights: how often each replicate draws each image (intervals of 4.2, 4.3).

An image-clustered bootstrap draws images with replacement, so that all questions about one picture
come and go together. How often a replicate draws an image is, for many images, Poisson distributed
with mean 1 and independent of every other draw. A weight can therefore be a hash of (image,
replicate, seed): it is the same wherever and whenever it is asked for, so that one streaming pass
adds up all replicates at once, whatever its batches.
"""

import math

import torch
from jaxtyping import Int
from torch import Tensor

from feature_atlas.statistics.counter_hash import counter_hash, logical_shift

_ABOVE = [
    math.floor(2**32 * sum(math.exp(-1) / math.factorial(i) for i in range(k + 1)))
    for k in range(12)
]
"""A uniform 32-bit integer at or above entry k gives a weight above k: Poisson(1)'s quantiles."""


def poisson_weights(
    images: Int[Tensor, " image"], n_replicates: int, seed: int
) -> Int[Tensor, "image replicate"]:
    """Weight of each image in each replicate, int8 (0 to 12), on the device of `images`.

    Depends on the image's number, the replicate's number and the seed alone: an image asked for
    twice has the same weights. Needs about 24 bytes an entry while it works.
    """
    if images.is_floating_point() or images.dtype == torch.bool or images.ndim != 1:
        raise ValueError(
            f"images are {images.dtype} of shape {list(images.shape)}, expected one whole number "
            "per image: pass the numbers of the images."
        )
    if n_replicates < 1:
        raise ValueError(f"n_replicates is {n_replicates}, expected 1 or more.")
    replicate = torch.arange(n_replicates, device=images.device)
    uniform = logical_shift(counter_hash(seed, images[:, None], replicate), 32)
    above = torch.tensor(_ABOVE, device=images.device)
    return torch.bucketize(uniform, above, right=True).to(torch.int8)
