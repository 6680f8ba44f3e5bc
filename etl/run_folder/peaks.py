"""The most memory that was held while something ran: of this process, and on its cards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

FORGET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Peaks:
    """Filled in when the block that `peaks` opens is left."""

    main: int | None = None
    """Largest resident size of the process in bytes; None where the system does not say."""
    device: int | None = None
    """Most bytes of tensors on a card at one time, of the fullest; None where there is no card."""


@contextmanager
def peaks() -> Iterator[Peaks]:
    """Begin anew: what was held before and is not held now does not count."""
    found, cards = Peaks(), range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)
    is_known = _forget()
    for card in cards:
        torch.cuda.reset_peak_memory_stats(card)
    yield found
    if is_known:
        found.main = _largest_resident()
    if torch.cuda.is_initialized():
        of_cards = map(torch.cuda.max_memory_allocated, range(torch.cuda.device_count()))
        found.device = max(of_cards)


def _forget() -> bool:
    """Linux alone lets a process forget its peak."""
    try:
        FORGET.write_text("5", encoding="utf-8")
    except OSError:
        return False
    return True


def _largest_resident() -> int:
    line = next(
        line for line in STATUS.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) * 1024
