"""How the cores are shared: within one product, or among several that do not wait for one another.

A product of a small model is over in microseconds. Two threads would spend more time on meeting
than on it, and where other programs want the cores too, each meeting waits for a turn of theirs.
"""

import torch

CORES = torch.get_num_threads()
"""Threads that torch would use; OMP_NUM_THREADS lowers it."""
SMALL = 1024
"""Width of the residual stream below which a product has one thread."""


def share_cores(d_model: int, device: str) -> int:
    """Set the threads of a product by the model's width; returns how many may run side by side."""
    if torch.device(device).type != "cpu" or d_model >= SMALL:
        torch.set_num_threads(CORES)
        return 1
    torch.set_num_threads(1)
    return CORES
