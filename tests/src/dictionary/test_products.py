"""TF32 is allowed to a training's steps on a GPU, and to nothing before, between or after."""

from collections.abc import Iterator

import pytest
import torch
from made_up.training import mixed, untrained

from feature_atlas.dictionary.adapt import REGIME_ROLES
from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.products import products
from feature_atlas.dictionary.sae import Sae
from feature_atlas.dictionary.training import Training, TrainingPlan
from feature_atlas.vlm.harvest import Tokens
from feature_atlas.vlm.token_roles import Role

PLAN = TrainingPlan(n_tokens=96, batch_size=16, learning_rate=1e-3, n_evaluations=2, buffer_size=32)


def allowed() -> bool:
    return torch.backends.cuda.matmul.allow_tf32


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = allowed()
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("before", [False, True])
def test_products_are_of_the_kind_asked_for_and_then_as_they_were(before: bool):
    torch.backends.cuda.matmul.allow_tf32 = before

    with products("tf32", "cuda:0"):
        assert allowed()
        with products("float32", "cuda"):
            assert not allowed()
        assert allowed()
    assert allowed() is before
    with pytest.raises(KeyError), products("tf32", "cuda"):
        raise KeyError
    assert allowed() is before


def test_a_cpu_has_no_such_products():
    with products("tf32", "cpu"):
        assert not allowed()


def test_a_step_alone_may_use_them_and_what_is_said_of_it_not(monkeypatch):
    """The curve is measured by encoding: near a gate TF32 would change what fires."""
    seen: dict[str, set[bool]] = {"step": set(), "measure": set()}
    training = a_training()
    step, measure = training.trainer.step, Training.measure

    def watched_step(batch: torch.Tensor) -> object:
        seen["step"].add(allowed())
        return step(batch)

    def watched_measure(own: Training) -> None:
        seen["measure"].add(allowed())
        measure(own)

    monkeypatch.setattr(training.trainer, "step", watched_step)
    monkeypatch.setattr(Training, "measure", watched_measure)
    monkeypatch.setattr("feature_atlas.dictionary.training.products", as_if_on_a_card)

    training.run(mixed(passes(), REGIME_ROLES["text"], PLAN))

    assert seen == {"step": {True}, "measure": {False}}
    assert not allowed()


def as_if_on_a_card(kind: str, _device: str) -> object:
    return products(kind, "cuda")


def passes() -> Iterator[Tokens]:
    while True:
        rows = torch.randn(20, 8)
        yield Tokens({0: rows}, torch.full((20,), Role.QUESTION), torch.arange(20))


def a_training() -> Training:
    rows = torch.nn.functional.normalize(torch.randn(32, 8), dim=1)
    zeros = torch.zeros(32), torch.zeros(8)
    base = Sae(rows.T.contiguous(), zeros[0], rows, zeros[1], TopK(4), scale=1.0)
    return untrained("text", base, next(passes()), PLAN)
