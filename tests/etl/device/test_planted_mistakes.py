"""The pretended device finds what CUDA would refuse, or compute in another order each time."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from device_mistakes import Mistake
from pretended_device import DEVICE, pretended_device
from torch import Tensor


def here(*shape: int) -> Tensor:
    return torch.ones(shape)


def there(*shape: int) -> Tensor:
    return torch.ones(shape, device=DEVICE)


def places(device: str) -> Tensor:
    return torch.tensor([0, 1], device=device)


def looked_up() -> None:
    """A gather in the forward pass is a scatter of floats in the backward pass."""
    table = there(2, 3).requires_grad_()
    table.gather(1, places(DEVICE)[:, None]).sum().backward()


MISTAKES: dict[str, Callable[[], object]] = {
    "add of tensors on two devices": lambda: there(2) + here(2),
    "mm of tensors on two devices": lambda: there(2, 2) @ here(2, 2),
    "cat of tensors on two devices": lambda: torch.cat([there(2), here(2)]),
    "index of tensors on two devices": lambda: there(3)[places("cpu")],
    "index_put_ of tensors on two devices": lambda: there(3).index_put_((places(DEVICE),), here(2)),
    "numpy() of a tensor on the device": lambda: there(2).numpy(),
    "normal_ with a generator of the CPU": lambda: there(2).normal_(generator=torch.Generator()),
    "randn with a generator of the CPU": lambda: torch.randn(
        2, device=DEVICE, generator=torch.Generator()
    ),
    "index_add_ of floats": lambda: there(3).index_add_(0, places(DEVICE), there(2)),
    "scatter_add_ of floats": lambda: there(3).scatter_add_(0, places(DEVICE), there(2)),
    "scatter_add of floats": looked_up,
    "scatter_reduce_ of floats": lambda: there(3).scatter_reduce_(
        0, places(DEVICE), there(2), "sum"
    ),
    "put_ of floats": lambda: there(3).put_(places(DEVICE), there(2), accumulate=True),
    "bincount of floats": lambda: torch.bincount(places(DEVICE), there(2)),
    "cumsum of floats": lambda: there(3).cumsum(0),
}


def found_in(body: Callable[[], object]) -> list[Mistake]:
    with pretended_device() as mistakes:
        body()
    return mistakes


@pytest.mark.parametrize("what", MISTAKES)
def test_a_planted_mistake_is_found_where_it_stands(what):
    (mistake,) = found_in(MISTAKES[what])

    assert mistake.what.startswith(what)
    assert mistake.file == __file__
    assert 0 <= mistake.line - MISTAKES[what].__code__.co_firstlineno <= 3


def test_numpy_of_the_array_protocol_is_found_too():
    (mistake,) = found_in(lambda: np.asarray(there(2)))

    assert mistake.what == "numpy() of a tensor on the device"


FINE: dict[str, Callable[[], object]] = {
    "numbers of the CPU": lambda: there(2) * torch.tensor(2.0) + 1,
    "copies in both directions": lambda: here(2).copy_(there(2).cpu()) + there(2).to("cpu"),
    "a list as an index": lambda: there(3)[[0, 1]],
    "the largest of floats": lambda: there(3).scatter_reduce_(0, places(DEVICE), there(2), "amax"),
    "sums of whole numbers": lambda: places(DEVICE).index_add_(0, places(DEVICE), places(DEVICE)),
    "a sum in a fixed order": lambda: there(3).index_put_(
        (places(DEVICE),), there(2), accumulate=True
    ),
    "drawn here, used there": lambda: torch.randn(2, generator=torch.Generator()).to(DEVICE),
    "floats of the CPU": lambda: here(3).index_add_(0, places("cpu"), here(2)),
}


@pytest.mark.parametrize("what", FINE)
def test_what_cuda_does_is_no_mistake(what):
    assert found_in(FINE[what]) == []


def test_the_device_computes_and_learns_as_the_cpu_does():
    def learned(device: str) -> Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2).to(device)
        optimiser = torch.optim.Adam(layer.parameters(), lr=0.1)
        for _ in range(3):
            optimiser.zero_grad()
            layer(torch.ones(4, 3, device=device)).square().sum().backward()
            optimiser.step()
        return layer.weight.detach()

    with pretended_device() as mistakes:
        there = learned(DEVICE)

    assert there.device.type == "pretended"
    assert mistakes == []
    assert torch.equal(there.cpu(), learned("cpu"))
