"""A pretended device: its tensors lie on the CPU, and torch takes them for another device's.

torch lets Python be the backend of a device (its PrivateUse1), so that dispatch, autograd and
``Module.to`` treat ``pretended:0`` as they treat ``cuda:0``. Every kernel that would run there goes
through `_run`, those of libraries and of backward passes too: it is looked at, and computed all
the same by the CPU, so that one build finds every mistake.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from device_mistakes import Mistake, Watch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

DEVICE = "pretended:0"
_watch = Watch()


@contextmanager
def pretended_device() -> Iterator[list[Mistake]]:
    """Within it ``DEVICE`` can be computed on; yields the mistakes, which grow."""
    global _watch
    register()
    _watch = Watch()
    with _FromNothing():
        yield _watch.found


class PretendedTensor(Tensor):
    """A tensor of the device, around one of the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "PretendedTensor":
        is_strided = inner.layout == torch.strided
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride() if is_strided else None,
            storage_offset=inner.storage_offset() if is_strided else None,
            layout=inner.layout,
            dtype=inner.dtype,
            device=DEVICE,
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            _watch.note("numpy() of a tensor on the device")
        return self.inner.detach().numpy()

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __repr__(self) -> str:
        return f"on {DEVICE}: {self.inner!r}"

    def __format__(self, how: str) -> str:
        return format(self.inner, how)


class _FromNothing(TorchDispatchMode):
    """Sees the operations that no tensor of the device goes into, such as ``torch.zeros``."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One kernel: looked at, and computed by the CPU."""
    given = list(_leaves((args, *kwargs.values())))
    there = {id(x.inner): x for x in given if isinstance(x, PretendedTensor)}
    wanted = kwargs.get("device")
    is_named = wanted is not None and torch.device(wanted).type == "pretended"
    comes_there = is_named or (bool(there) and wanted is None)
    if there or comes_there:
        _watch.look(func.overloadpacket, given, list(there.values()))
    if is_named:
        kwargs = kwargs | {"device": torch.device("cpu")}
    made = func(*_each(args, _inner), **{name: _each(x, _inner) for name, x in kwargs.items()})
    if func.overloadpacket is torch.ops.aten.copy_:
        comes_there = isinstance(args[0], PretendedTensor)
    if not comes_there:
        return made
    return _each(made, lambda x: there[id(x)] if id(x) in there else PretendedTensor(x))


def _leaves(nested: Any) -> Iterator[Any]:
    for x in nested:
        if isinstance(x, list | tuple):
            yield from _leaves(x)
        else:
            yield x


def _each(nested: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same with every tensor changed."""
    if isinstance(nested, Tensor):
        return change(nested)
    if isinstance(nested, list | tuple):
        return type(nested)([_each(x, change) for x in nested])
    return nested


def _inner(x: Tensor) -> Tensor:
    return x.inner if isinstance(x, PretendedTensor) else x


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


_KERNELS = torch.library.Library("aten", "IMPL")


def register() -> None:
    """Once per process, before its first backward pass.

    The kernels are those that torch calls where no mode sees it.
    """
    if hasattr(torch, "pretended"):
        return
    _setup_privateuseone_for_python_backend("pretended", _Backend())
    _KERNELS.impl("empty_strided", _empty_strided, "PrivateUse1")
    _KERNELS.impl("_copy_from", _copy_from, "PrivateUse1")
    _KERNELS.impl("_local_scalar_dense", _local_scalar_dense, "PrivateUse1")


def _empty_strided(size: list[int], stride: list[int], **how: Any) -> PretendedTensor:
    """For ``torch.tensor`` and for lists as indices."""
    return PretendedTensor(torch.empty_strided(size, stride, dtype=how.get("dtype")))


def _copy_from(source: Tensor, target: PretendedTensor, _waits: bool = False) -> Tensor:
    """What fills them."""
    target.inner.copy_(source)
    return target


def _local_scalar_dense(tensor: PretendedTensor) -> Any:
    """For lists of tensors."""
    return tensor.inner.item()
