"""Dictionaries of every gate encode, decode and learn on a device as on the CPU."""

import pytest
import torch
from pretended_device import DEVICE, pretended_device
from random_sae import some_sae
from torch import Tensor

from feature_atlas.dictionary.gate import Threshold, Thresholds, TopK
from feature_atlas.dictionary.reconstruction import held_out
from feature_atlas.dictionary.sae import Encoder, Sae, decode
from feature_atlas.dictionary.training import Training, TrainingPlan
from feature_atlas.etl.stages.dictionary.encoders import AnyEncoder, certified
from feature_atlas.vlm.token_roles import Role

GATES = {"top k": TopK(5), "thresholds": Threshold(torch.full((40,), 0.5))}


def dictionary(gate: str) -> Sae:
    torch.manual_seed(0)
    return some_sae()._replace(gate=GATES[gate])


def residual() -> Tensor:
    return torch.randn(256, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("encoder", [Encoder.of, certified])
@pytest.mark.parametrize("gate", GATES)
def test_codes_are_those_of_the_cpu(gate, encoder):
    def rebuilt(device: str) -> Tensor:
        sae = dictionary(gate).to(device)
        made: AnyEncoder = encoder(sae)
        return decode(sae, made.encode(residual().to(device))).cpu()

    with pretended_device() as mistakes:
        there = rebuilt(DEVICE)

    assert mistakes == []
    assert torch.equal(there, rebuilt("cpu"))


@pytest.mark.parametrize(
    ("gate", "thresholds"),
    [("top k", "frozen"), ("thresholds", "frozen"), ("thresholds", "batch_topk")],
)
def test_it_learns_what_it_learns_on_the_cpu(gate, thresholds: Thresholds):
    def learned(device: str) -> Tensor:
        plan = TrainingPlan(
            n_tokens=512,
            batch_size=64,
            learning_rate=1e-2,
            n_evaluations=2,
            n_held_out=200,
            device=device,
            thresholds=thresholds,
        )
        roles = torch.full((256,), int(Role.QUESTION), device=device)
        judged = held_out(residual().to(device), roles, [(Role.QUESTION,)], plan.n_held_out)
        start = dictionary(gate).to(device)
        training = Training("a dictionary", (Role.QUESTION,), start, judged, plan)
        return training.run(iter(residual().split(64) * 2)).sae.w_dec.cpu()

    with pretended_device() as mistakes:
        there = learned(DEVICE)

    assert mistakes == []
    assert torch.equal(there, learned("cpu"))
