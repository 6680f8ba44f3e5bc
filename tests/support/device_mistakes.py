"""What CUDA would not take, or not compute the same way twice, and the line that asked for it."""

import linecache
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor

import feature_atlas

_aten = torch.ops.aten
_COPIES = {_aten._to_copy, _aten.copy_}
"""The operations that are given two devices."""
_UNORDERED = {
    *(_aten.index_add, _aten.index_add_, _aten.scatter_add, _aten.scatter_add_),
    *(_aten.put, _aten.put_, _aten.histc, _aten.bincount, _aten.cumsum, _aten.cumsum_),
    *(_aten.kthvalue, _aten.nll_loss2d_forward),
    *(_aten.upsample_bilinear2d_backward, _aten.upsample_bicubic2d_backward),
}
"""Those of torch's list of nondeterministic ones on CUDA that this code could come to."""
_UNORDERED_REDUCTIONS = {_aten.scatter_reduce, _aten.scatter_reduce_, _aten.index_reduce_}

_PRODUCT = str(Path(feature_atlas.__file__).parent)
_TORCH = str(Path(torch.__file__).parent)
_WATCHERS = (__file__, str(Path(__file__).with_name("pretended_device.py")))


class Mistake(NamedTuple):
    """One kind of mistake on one line."""

    what: str
    file: str
    line: int
    code: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}: {self.code}"


class Watch:
    """Looks at every kernel, and notes each mistake once."""

    def __init__(self) -> None:
        self.found: list[Mistake] = []
        self.thread = threading.get_ident()

    def look(self, packet: Any, given: Sequence[Any], there: Sequence[Tensor]) -> None:
        """One kernel: all that it is given, and the tensors among it that are on the device."""
        name = packet.__name__
        tensors = [x for x in given if isinstance(x, Tensor)]
        is_there = {id(x) for x in there}
        here = [x for x in tensors if id(x) not in is_there and x.dim()]
        if there and here and packet not in _COPIES:
            # CUDA takes an index of the CPU, and waits for it: a library may, we do not
            is_index = packet is _aten.index and id(tensors[0]) in is_there
            if not (is_index and _asks_library()):
                self.note(f"{name} of tensors on two devices")
        if any(isinstance(x, torch.Generator) for x in given):
            self.note(f"{name} with a generator of the CPU")
        adds = packet in _UNORDERED_REDUCTIONS and not {"amax", "amin"} & set(map(str, given))
        if (adds or packet in _UNORDERED) and any(x.is_floating_point() for x in tensors):
            self.note(f"{name} of floats, which CUDA adds in any order")

    def note(self, what: str) -> None:
        """With the innermost line of the product; without one, of whoever is no library."""
        # a backward pass has a thread of its own, without lines: who asked for it waits in ours
        lines = list(_lines(sys._getframe())) or list(_lines(sys._current_frames()[self.thread]))
        file, line = next((at for at in lines if at[0].startswith(_PRODUCT)), lines[0])
        mistake = Mistake(what, file, line, linecache.getline(file, line).strip())
        if mistake not in self.found:
            self.found.append(mistake)


def _lines(frame: FrameType | None) -> Iterator[tuple[str, int]]:
    """Innermost first, without libraries and the watching itself."""
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((*_WATCHERS, "<")) and "/site-packages/" not in file:
            yield file, frame.f_lineno
        frame = frame.f_back


def _asks_library() -> bool:
    """Whether torch was called by another library."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith((*_WATCHERS, _TORCH)):
        frame = frame.f_back
    return frame is not None and "/site-packages/" in frame.f_code.co_filename
