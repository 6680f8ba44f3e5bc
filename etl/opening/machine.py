"""What this machine has: free disk, memory, and how fast it multiplies, measured."""

import shutil
import time
from pathlib import Path
from typing import NamedTuple

import torch

from feature_atlas.dictionary.products import products
from feature_atlas.etl.inputs.device import device_memory, main_memory

N_SECONDS = 0.2
"""A product is repeated for so long."""


class Machine(NamedTuple):
    """What a run finds."""

    free_disk: int
    """Bytes that the home folder's disk can still take."""
    device_memory: int
    """Bytes of the device the run computes on; a CPU's are the machine's."""
    main_memory: int
    """Bytes, or fewer where a container has fewer."""
    model_speed: float
    """Operations a second of a product in the model's kind of number."""
    float32_speed: float
    """The same in float32, in which dictionaries encode."""
    tf32_speed: float
    """And with rounded factors, where the device knows that, in which they train."""


def this_machine(home: Path, device: str, dtype: str) -> Machine:
    """Look at the disk and the memory, and time two products."""
    on_card, float32 = device.startswith("cuda"), product_speed(device, torch.float32)
    return Machine(
        free_disk(home),
        device_memory(device),
        main_memory(),
        product_speed(device, getattr(torch, dtype)),
        float32,
        rounded_speed(device) if on_card else float32,
    )


def free_disk(home: Path) -> int:
    """Of the disk that a folder is on, or will be on."""
    return shutil.disk_usage(existing(home)).free


def existing(folder: Path) -> Path:
    """The folder, or the one above it that is there."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def product_speed(device: str, dtype: torch.dtype) -> float:
    """Operations a second: a square product, twice its size cubed."""
    size, at_once = (8192, 8) if device.startswith("cuda") else (512, 1)
    random = torch.Generator(device)  # of its own: nothing else is drawn otherwise for it
    left, right = (
        torch.randn(size, size, device=device, generator=random).to(dtype) for _ in range(2)
    )
    (left @ right)[0, 0].item()  # the first one loads the library; ones are multiplied faster
    begin, n_done = time.perf_counter(), 0
    while time.perf_counter() - begin < N_SECONDS:
        for _ in range(at_once):  # a card is waited for once
            product = left @ right
        product[0, 0].item()
        n_done += at_once
    return 2 * size**3 * n_done / (time.perf_counter() - begin)


def rounded_speed(device: str) -> float:
    """The same in float32, where factors may be rounded to TF32."""
    with products("tf32", device):
        return product_speed(device, torch.float32)
