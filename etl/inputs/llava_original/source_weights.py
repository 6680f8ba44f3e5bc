"""Which tensors a checkpoint's files hold, and each of them read alone."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from feature_atlas.etl.inputs.weight_files import file_header, weight_files, weight_headers


class Stored(NamedTuple):
    """One tensor on disk."""

    file: Path
    """.safetensors, or PyTorch's .bin."""
    name: str
    """In the file."""
    shape: tuple[int, ...]
    """As stored."""
    dtype: torch.dtype
    """As stored; converted ones keep it."""

    @property
    def n_bytes(self) -> int:
        """On disk."""
        return int(torch.Size(self.shape).numel() * self.dtype.itemsize)


def stored_tensors(folder: Path) -> list[Stored]:
    """Every tensor of a checkpoint in one or several files, none of them quantised or doubled."""
    weight_headers(folder)
    return [
        Stored(file, name, tuple(tensor.shape), tensor.dtype)
        for file in weight_files(folder)
        for name, tensor in file_header(file).items()
    ]


def read(stored: Stored) -> Tensor:
    """The tensor, bit for bit."""
    if stored.file.suffix == ".bin":
        return _loaded(stored.file)[stored.name]
    with safe_open(stored.file, "pt") as opened:
        tensor: Tensor = opened.get_tensor(stored.name)
        return tensor


@lru_cache(maxsize=1)
def _loaded(file: Path) -> dict[str, Tensor]:
    """A .bin file mapped into memory, page by page as it is read; the last one stays open."""
    try:
        return dict(torch.load(file, map_location="cpu", weights_only=True, mmap=True))
    except RuntimeError:  # written by PyTorch before 1.6: it cannot be mapped
        return dict(torch.load(file, map_location="cpu", weights_only=True))
