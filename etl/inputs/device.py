"""Whether the device that a configuration names is here, fit for its kind of number, and exact."""

import os
import re
from pathlib import Path

import torch

GIBIBYTE = 2**30
CGROUP = Path("/sys/fs/cgroup/memory.max")


def require_device(device: str, dtype: str) -> str:
    """What the device is, in words; an error that says what is there instead."""
    kind, _, number = device.partition(":")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        why = (
            "mps has no float64, in which sums are kept"
            if kind == "mps"
            else "expected cpu, cuda or cuda:N"
        )
        raise ValueError(f"device is {device!r}: {why}. Here is {what_is_there()}.")
    if kind == "cpu":
        return f"the CPU, {torch.get_num_threads()} threads"
    index = int(number or 0)
    if index >= torch.cuda.device_count():
        raise ValueError(f"device is {device!r}, and here is {what_is_there()}: set `device`.")
    if dtype == "bfloat16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(
            f"vlm.dtype is bfloat16, which {torch.cuda.get_device_name(index)} does not compute "
            "with: set it to float32."
        )
    compute_repeatably(device)
    return _card(index)


def compute_repeatably(device: str) -> None:
    """Let CUDA compute the same bytes each time; what it cannot, torch refuses with its name.

    Once per process, and before its first product. A CPU computes so by itself.
    """
    if not device.startswith("cuda"):
        return
    # workspaces of a fixed size: with others cuBLAS may split a product in another way each time
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, and no one reads it


def device_memory(device: str) -> int:
    """Bytes of a card; a CPU's are the machine's."""
    if device.startswith("cuda"):
        return int(torch.cuda.get_device_properties(device).total_memory)
    return main_memory()


def main_memory() -> int:
    """Of the machine, or what its container is given."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = CGROUP.read_text(encoding="utf-8").strip() if CGROUP.is_file() else "max"
    return min(whole, int(limit)) if limit.isdecimal() else whole


def what_is_there() -> str:
    """Every device of this machine that a run can use."""
    cards = [f"cuda:{i} ({_card(i)})" for i in range(torch.cuda.device_count())]
    return ", ".join(["cpu", *cards]) + ("" if cards else " and no GPU that CUDA sees")


def _card(index: int) -> str:
    memory = torch.cuda.get_device_properties(index).total_memory / GIBIBYTE
    return f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB"
