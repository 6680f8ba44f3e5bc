"""Results on disk that are read back as what they were: records, arrays and plain values.

Nothing else is read: a file that names any other class is refused before anything is made of it.
"""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy._core.multiarray as numpy_parts
import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from feature_atlas.etl.run_folder.whole_files import written_whole

ARRAYS = (np.ndarray, np.dtype, numpy_parts._reconstruct, numpy_parts.scalar, bytes)
DTYPES = tuple(getattr(np.dtypes, name) for name in np.dtypes.__all__)
"""With `ARRAYS` what NumPy's arrays and numbers are made of; bytes where an array is empty."""


def write_result(file: Path, result: Any) -> None:
    """Write whole or not at all."""
    with written_whole(file) as temporary:
        torch.save(result, temporary)


def read_result(file: Path) -> Any:
    """A result; its tensors stay on the disk until they are used."""
    kinds = [_kind(name, file) for name in get_unsafe_globals_in_checkpoint(file)]
    with safe_globals([*ARRAYS, *DTYPES, *kinds]):
        return torch.load(file, map_location="cpu", mmap=True, weights_only=True)


def _kind(name: str, file: Path) -> Any:
    """The class of this name: a NamedTuple of this package, or a part of NumPy."""
    for part in ARRAYS:
        if name == f"{part.__module__}.{part.__qualname__}":
            return part
    module, _, kind = name.rpartition(".")
    if module.startswith("feature_atlas."):
        found = getattr(importlib.import_module(module), kind, None)
        if isinstance(found, type) and issubclass(found, tuple) and hasattr(found, "_fields"):
            return found
    raise ValueError(
        f"{file} names {name}: expected records of this package, arrays and plain values. Delete "
        "it; its part of the stage is computed again."
    )
