"""What a stage costs: seconds, operations by kind of number, peaks of memory, bytes written."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from feature_atlas.etl.run_folder.peaks import peaks

GIGA = 1e9


class Cost(NamedTuple):
    """Of one stage."""

    stage: str
    seconds: float
    cpu_seconds: float
    """Of all threads of this process."""
    operations: dict[str, float]
    """Of products, by dtype."""
    main_memory: int
    """Largest resident size in bytes while it ran."""
    device_memory: int
    """Largest allocation on the card; 0 without one."""
    written: int
    """Bytes that it left in the run folder."""


class Products(TorchDispatchMode):
    """Counts the operations of every product by the dtype of its result."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        out = func(*args, **(kwargs or {}))
        if "scaled_dot_product" in func.__name__:
            self.operations[str(args[0].dtype).removeprefix("torch.")] += _attention(func, args)
            return out
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            first = out[0] if isinstance(out, tuple | list) else out
            name = str(first.dtype).removeprefix("torch.")
            self.operations[name] += count(*args, **(kwargs or {}), out_val=out)
        return out


def _attention(func: Any, args: Any) -> float:
    """Two products forward and five backward; torch's own count knows no grouped keys."""
    first = 1 if "backward" in func.__name__ else 0
    query, key = args[first], args[first + 1]
    n_products = 5 if first else 2
    return float(n_products * 2 * query.numel() * key.shape[-2])


def measured(stage: str, folder: Path, run: Callable[[], object], device: str) -> Cost:
    """Run it and look."""
    before, cpu, begin = _written(folder), time.process_time(), time.perf_counter()
    with peaks() as held, Products() as products:
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
    return Cost(
        stage,
        time.perf_counter() - begin,
        time.process_time() - cpu,
        dict(products.operations),
        held.main or 0,
        held.device or 0,
        _written(folder) - before,
    )


def copy_speed(device: str, n_bytes: int) -> float:
    """Bytes read and written a second by a copy."""
    source = torch.ones(n_bytes // 4, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    begin, n_times = time.perf_counter(), 10
    for _ in range(n_times):
        target.copy_(source)
    target[0].item()
    return 2 * n_bytes * n_times / (time.perf_counter() - begin)


def _written(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
