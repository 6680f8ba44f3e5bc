"""How much of its precision a product of float32 matrices gives up for speed.

TF32 keeps ten bits of each factor and adds in float32: on a GPU it is several times as fast, and
what it rounds is far below the noise between batches of a training. Encoding is not allowed it:
near a gate it would change which features fire.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Products = Literal["tf32", "float32"]


@contextmanager
def products(kind: Products, device: str) -> Iterator[None]:
    """Products on the device are of this kind here, and afterwards what they were before."""
    if torch.device(device).type != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = kind == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
