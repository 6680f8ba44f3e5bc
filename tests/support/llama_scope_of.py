"""Llama Scope's raw files for a tiny language model: dictionaries of its own residuals.

Rows are the principal directions of a layer's residuals and their opposites, so that each
dictionary is best on its layer. Numbers are whole where the release's are.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer


def write_llama_scope(root: Path, model: Path, texts: Path, layers: Sequence[int], k: int) -> None:
    """A folder for each layer, as released; the model's last layer cannot be asked for."""
    for layer, residual in zip(layers, _residuals(model, texts, layers), strict=True):
        folder = root / f"Llama3_1-8B-Base-L{layer}R-8x"
        (folder / "checkpoints").mkdir(parents=True)
        norm = round(float(residual.norm(dim=-1).mean()))
        rows, bias = _principal_rows(residual), torch.zeros(residual.shape[1])
        weights = {
            "encoder.weight": rows,
            "encoder.bias": torch.zeros(len(rows)),
            "decoder.weight": rows.T,
            "decoder.bias": bias,
        }
        save_file(
            {name: t.to(torch.bfloat16).contiguous() for name, t in weights.items()},
            folder / "checkpoints" / "final.safetensors",
        )
        settings = release_settings(layer, *rows.shape, k=k, norm=norm)
        (folder / "hyperparams.json").write_text(json.dumps(settings))


@torch.no_grad()
def _residuals(model: Path, texts: Path, layers: Sequence[int]) -> list[Tensor]:
    language_model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    seen: list[list[Tensor]] = [[] for _ in layers]
    for line in texts.read_text().splitlines()[:20]:
        ids = tokenizer(json.loads(line)["text"], return_tensors="pt").input_ids[:, :128]
        hidden = language_model.model(ids, output_hidden_states=True).hidden_states
        for kept, layer in zip(seen, layers, strict=True):
            kept.append(hidden[layer + 1][0, 1:])  # BOS is not counted
    return [torch.cat(kept) for kept in seen]


def _principal_rows(residual: Tensor) -> Tensor:
    directions = torch.linalg.svd(residual, full_matrices=False).Vh
    return torch.cat([directions, -directions])


def release_settings(layer: int, d_sae: int, d_model: int, k: int, norm: int) -> dict[str, object]:
    """All that the release's hyperparams.json say."""
    hook = f"blocks.{layer}.hook_resid_post"
    return {
        "device": "cuda",
        "seed": 42,
        "dtype": "torch.bfloat16",
        "hook_point_in": hook,
        "hook_point_out": hook,
        "use_decoder_bias": True,
        "apply_decoder_bias_to_pre_encoder": False,
        "expansion_factor": d_sae // d_model,
        "d_model": d_model,
        "d_sae": d_sae,
        "bias_init_method": "all_zero",
        "act_fn": "jumprelu",
        "jump_relu_threshold": 1,
        "norm_activation": "dataset-wise",
        "dataset_average_activation_norm": {"in": norm, "out": norm},
        "decoder_exactly_fixed_norm": False,
        "sparsity_include_decoder_norm": True,
        "use_glu_encoder": False,
        "init_decoder_norm": 0.5,
        "init_encoder_norm": None,
        "init_encoder_with_decoder_transpose": True,
        "lp": 1,
        "l1_coefficient": 8e-05,
        "l1_coefficient_warmup_steps": 39062,
        "top_k": k,
        "k_warmup_steps": 39062,
        "use_batch_norm_mse": True,
        "use_ghost_grads": False,
        "tp_size": 1,
        "ddp_size": 1,
    }
