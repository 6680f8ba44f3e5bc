"""Fakes of published dictionaries: their files, and what they compute by their release's formula.

Each builder writes files as the release has them, tiny and random, and returns the formula, in
float64 and in the units of raw residuals: activations, decoder rows, decoder bias.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

D, F, K = 8, 64, 4


class Rebuilt(NamedTuple):
    """What a release makes of residuals, in their own units."""

    activations: Tensor
    rows: Tensor
    bias: Tensor

    @property
    def lengths(self) -> Tensor:
        """How long each feature's contribution is."""
        return self.activations * self.rows.norm(dim=-1)

    @property
    def residual(self) -> Tensor:
        return self.activations @ self.rows + self.bias


Formula = Callable[[Tensor], Rebuilt]


def weights() -> dict[str, Tensor]:
    """W_enc [d, F], b_enc, W_dec [F, d], b_dec; rows of any length."""
    rows = torch.randn(F, D) * (torch.rand(F, 1) + 0.5)
    return {
        "W_enc": torch.randn(D, F),
        "b_enc": 0.3 * torch.randn(F),
        "W_dec": rows,
        "b_dec": 0.3 * torch.randn(D),
    }


def put(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".json":
        file.write_text(json.dumps(content))
    elif file.suffix == ".safetensors":
        save_file({name: t.contiguous() for name, t in content.items()}, file)
    elif file.suffix == ".npz":
        np.savez(file, **{name: t.numpy() for name, t in content.items()})
    else:
        torch.save(content, file)


def top_k(compared: Tensor, pre: Tensor) -> Tensor:
    """``pre`` where ``compared`` is among the k largest, and above 0."""
    keep = torch.zeros_like(pre).scatter_(1, compared.topk(K, dim=1).indices, 1.0)
    return (keep * pre).clamp_min(0)


def above(pre: Tensor, theta: Tensor | float) -> Tensor:
    return torch.where(pre > theta, pre, 0.0).clamp_min(0)


def pytorch_names(w: dict[str, Tensor], encoder: str = "encoder", decoder: str = "decoder") -> Any:
    """As nn.Linear keeps them."""
    return {
        f"{encoder}.weight": w["W_enc"].T.contiguous(),
        f"{encoder}.bias": w["b_enc"],
        f"{decoder}.weight": w["W_dec"].T.contiguous(),
        f"{decoder}.bias": w["b_dec"],
    }


def doubled(w: dict[str, Tensor]) -> list[Tensor]:
    return [w[name].double() for name in ("W_enc", "b_enc", "W_dec", "b_dec")]


LLAMA_SCOPE = {
    "d_model": D,
    "d_sae": F,
    "expansion_factor": 8,
    "hook_point_in": "blocks.0.hook_resid_post",
    "hook_point_out": "blocks.0.hook_resid_post",
    "use_decoder_bias": True,
    "apply_decoder_bias_to_pre_encoder": False,
    "act_fn": "jumprelu",
    "jump_relu_threshold": 1,
    "top_k": K,
    "norm_activation": "dataset-wise",
    "dataset_average_activation_norm": {"in": 2, "out": 2},
    "sparsity_include_decoder_norm": True,
    "use_glu_encoder": False,
    "lp": 1,
    "dtype": "torch.bfloat16",
}


def llama_scope(folder: Path, **settings: Any) -> Formula:
    """Raw files; numbers are whole where the release's are."""
    w, said = weights(), LLAMA_SCOPE | settings
    put(folder / "hyperparams.json", said)
    raw = pytorch_names(w)
    if not said["use_decoder_bias"]:
        w["b_dec"] = torch.zeros(D)
        del raw["decoder.bias"]
    put(folder / "checkpoints" / "final.safetensors", raw)
    norms = said["dataset_average_activation_norm"]
    s_in, s_out = D**0.5 / norms["in"], D**0.5 / norms["out"]

    def formula(x: Tensor) -> Rebuilt:
        w_enc, b_enc, w_dec, b_dec = doubled(w)
        z = s_in * x - (b_dec if said["apply_decoder_bias_to_pre_encoder"] else 0)
        pre, norm = z @ w_enc + b_enc, w_dec.norm(dim=-1)
        seen = pre * norm if said["sparsity_include_decoder_norm"] else pre
        return Rebuilt(top_k(seen, pre), w_dec / s_out, b_dec / s_out)

    return formula


def llama_scope_r1(hub: Path, scale: float, **settings: Any) -> Formula:
    """DeepSeek-R1-Distill's: a threshold for each feature, after the input is scaled."""
    w, log_threshold = weights(), 0.5 * torch.randn(F)
    folder = hub / "fnlp/Llama-Scope-R1-Distill/800M-Slimpajama-0-OpenR1-Math-220k/L0R"
    said = {"d_model": D, "expansion_factor": 8, "hook_point_in": "blocks.0.hook_resid_post"}
    put(folder / "config.json", said | settings)
    put(
        folder / "sae_weights.safetensors",
        pytorch_names(w) | {"log_jumprelu_threshold": log_threshold},
    )

    def formula(x: Tensor) -> Rebuilt:
        w_enc, b_enc, w_dec, b_dec = doubled(w)
        pre = scale * x @ w_enc + b_enc
        norm = w_dec.norm(dim=-1) if settings.get("sparsity_include_decoder_norm") else 1.0
        fires = pre * norm > log_threshold.double().exp()
        return Rebuilt(torch.where(fires, pre, 0.0), w_dec / scale, b_dec / scale)

    return formula


def batch_top_k(hub: Path) -> Formula:
    """andyrdt's, of dictionary_learning: one threshold, and the decoder bias taken off first."""
    w = weights()
    w["W_dec"] = torch.nn.functional.normalize(w["W_dec"], dim=-1)
    folder = hub / "andyrdt/saes-llama-3.1-8b-instruct/resid_post_layer_3/trainer_1"
    trainer = {
        "trainer_class": "BatchTopKTrainer",
        "dict_class": "BatchTopKSAE",
        "activation_dim": D,
        "dict_size": F,
        "k": K,
        "layer": 3,
        "lm_name": "meta-llama/Llama-3.1-8B-Instruct",
        "submodule_name": "resid_post_layer_3",
    }
    put(folder / "config.json", {"trainer": trainer, "buffer": {"ctx_len": 1024}})
    raw = pytorch_names(w)
    raw["b_dec"] = raw.pop("decoder.bias")
    put(folder / "ae.pt", raw | {"k": torch.tensor(K), "threshold": torch.tensor(1.2)})

    def formula(x: Tensor) -> Rebuilt:
        w_enc, b_enc, w_dec, b_dec = doubled(w)
        return Rebuilt(above((x - b_dec) @ w_enc + b_enc, float(torch.tensor(1.2))), w_dec, b_dec)

    return formula


def goodfire(hub: Path) -> Formula:
    w = weights()
    file = hub / "Goodfire/Llama-3.1-8B-Instruct-SAE-l19/Llama-3.1-8B-Instruct-SAE-l19.pth"
    put(file, pytorch_names(w, "encoder_linear", "decoder_linear"))

    def formula(x: Tensor) -> Rebuilt:
        w_enc, b_enc, w_dec, b_dec = doubled(w)
        return Rebuilt((x @ w_enc + b_enc).relu(), w_dec, b_dec)

    return formula


def qwen_scope(hub: Path) -> Formula:
    """The k largest of what the encoder gives, whatever the decoder rows' lengths."""
    w = weights()
    transposed = {name: t.T.contiguous() if t.ndim == 2 else t for name, t in w.items()}
    put(hub / "Qwen/SAE-Res-Qwen3-8B-Base-W64K-L0_50/layer2.sae.pt", transposed)

    def formula(x: Tensor) -> Rebuilt:
        w_enc, b_enc, w_dec, b_dec = doubled(w)
        pre = x @ w_enc + b_enc
        return Rebuilt(top_k(pre, pre), w_dec, b_dec)

    return formula


def _gemma_scope(file: Path, lower: bool) -> Formula:
    w, theta = weights(), torch.rand(F) * 3
    raw = {name.lower() if lower else name: t for name, t in w.items()}
    put(file, raw | {"threshold": theta})

    def formula(x: Tensor) -> Rebuilt:
        w_enc, b_enc, w_dec, b_dec = doubled(w)
        return Rebuilt(above(x @ w_enc + b_enc, theta.double()), w_dec, b_dec)

    return formula


def gemma_scope_1(hub: Path) -> Formula:
    folder = hub / "google/gemma-scope-9b-it-res/layer_20/width_16k/average_l0_91"
    return _gemma_scope(folder / "params.npz", lower=False)


def gemma_scope_2(hub: Path, **settings: Any) -> Formula:
    folder = hub / "google/gemma-scope-2-4b-it/resid_post/layer_17_width_16k_l0_medium"
    said = {"model_name": "google/gemma-3-4b-it", "architecture": "jump_relu", "l0": 60}
    put(
        folder / "config.json",
        said | {"hf_hook_point_in": "model.layers.17.output", "type": "sae"} | settings,
    )
    return _gemma_scope(folder / "params.safetensors", lower=True)


def sparsify(folder: Path, unit: bool = True, **settings: Any) -> Formula:
    """EleutherAI's and lmms-lab's: the decoder as [F, d], its bias taken off first."""
    w = weights()
    if unit:
        w["W_dec"] = torch.nn.functional.normalize(w["W_dec"], dim=-1)
    said = {"expansion_factor": 8, "normalize_decoder": unit, "num_latents": 0, "k": K, "d_in": D}
    put(folder / "cfg.json", said | settings)
    raw = pytorch_names(w) | {"W_dec": w["W_dec"], "b_dec": w["b_dec"]}
    del raw["decoder.weight"], raw["decoder.bias"]
    put(folder / "sae.safetensors", raw)

    def formula(x: Tensor) -> Rebuilt:
        w_enc, b_enc, w_dec, b_dec = doubled(w)
        pre = ((x - b_dec) @ w_enc + b_enc).relu()
        return Rebuilt(top_k(pre, pre), w_dec, b_dec)

    return formula
