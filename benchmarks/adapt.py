"""One training step of one dictionary, by how its products are made, and its curve's measurement.

    python benchmarks/adapt.py --d-model 512 --d-sae 4096 --batch 1024
    python benchmarks/adapt.py --device cuda          (the paper's widths and batch)

Operations are those of the dense products, 10 * d_model * d_sae for each token: encode and decode,
and their gradients.
"""

import argparse
import time
from typing import get_args

import torch

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.products import Products
from feature_atlas.dictionary.reconstruction import held_out
from feature_atlas.dictionary.sae import Sae
from feature_atlas.dictionary.training import Training, TrainingPlan
from feature_atlas.vlm.token_roles import Role

N_WARM = 2


def main() -> None:
    """Print seconds, rates and the peak of a card."""
    asked = _arguments()
    for kind in get_args(Products) if asked.device.startswith("cuda") else ("float32",):
        seconds = step_seconds(kind, asked)
        rate = 10 * asked.d_model * asked.d_sae * asked.batch / seconds
        print(f"{kind}: {1e3 * seconds:.1f} ms a step, {rate / 1e12:.2f} TFLOP/s if dense")
    if asked.device.startswith("cuda"):
        print(f"peak {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")


def step_seconds(kind: Products, asked: argparse.Namespace) -> float:
    """Mean time of a step after the first ones."""
    plan = TrainingPlan(
        n_tokens=10**9, batch_size=asked.batch, learning_rate=1e-4, device=asked.device,
        products=kind,
    )  # fmt: skip
    training = a_training(plan, asked.d_model, asked.d_sae)
    training.due = set()  # no measurement between
    batch = torch.randn(asked.batch, asked.d_model, device=asked.device).bfloat16()
    for step in range(N_WARM + asked.steps):
        if step == N_WARM:
            _wait(asked.device)
            begin = time.perf_counter()
        training.step(batch)
    _wait(asked.device)
    return (time.perf_counter() - begin) / asked.steps


def a_training(plan: TrainingPlan, d_model: int, d_sae: int) -> Training:
    """Of random unit rows with a tied encoder."""
    random = torch.Generator().manual_seed(0)
    rows = torch.randn(d_sae, d_model, generator=random)
    rows = (rows / rows.norm(dim=1, keepdim=True)).to(plan.device)
    zeros = torch.zeros(d_sae, device=plan.device), torch.zeros(d_model, device=plan.device)
    base = Sae(rows.T.contiguous(), zeros[0], rows, zeros[1], TopK(50), scale=1.0)
    judging = torch.randn(64, d_model, generator=random).to(plan.device)
    roles = torch.full((64,), int(Role.QUESTION), device=plan.device)
    text = (Role.QUESTION,)
    return Training("a step", text, base, held_out(judging, roles, [text], 64), plan)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--d-model", type=int, default=4096)
    parser.add_argument("--d-sae", type=int, default=32_768)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
