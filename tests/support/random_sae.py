"""A small dictionary of random weights, whose decoder rows differ in length."""

import torch

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae


def some_sae(scale: float = 2.5, d_model: int = 12, d_sae: int = 40, k: int = 5) -> Sae:
    return Sae(
        w_enc=torch.randn(d_model, d_sae),
        b_enc=torch.randn(d_sae) * 0.1,
        w_dec=torch.randn(d_sae, d_model) * torch.rand(d_sae, 1).add(0.5),
        b_dec=torch.randn(d_model) * 0.1,
        gate=TopK(k),
        scale=scale,
    )


def clear_of_ties(sae: Sae, x: torch.Tensor) -> torch.Tensor:
    """The tokens on which float32 can tell the k-th largest gate from the next."""
    pre = sae.scale * x.double() @ sae.w_enc.double() + sae.b_enc.double()
    gates = pre * sae.w_dec.double().norm(dim=1)
    last, next_one = gates.topk(sae.gate.k + 1).values[:, -2:].relu().unbind(1)
    return x[(last - next_one > 1e-3) | (last == 0)]
