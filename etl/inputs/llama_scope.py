"""Llama Scope's raw files, without SAELens in between (paper 3.2, 4.1).

SAELens reads them with the threshold that was fitted after training, and compares without decoder
norms; here they are what they were while they trained: TopK in the normalised space. Every setting
that changes what the dictionary computes is understood or refused, and so is every key unknown.
"""

from math import isclose
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae, without_decoder_bias
from feature_atlas.etl.inputs.sae_facts import (
    agreed_scale,
    require_finite,
    require_hook,
    require_keys,
    require_known,
    require_numbers,
    require_sae_files,
    require_shapes,
)
from feature_atlas.etl.run_folder.artifacts import read_json

EXPECTED: dict[str, tuple[Any, ...]] = {
    "act_fn": ("jumprelu", "topk"),
    "norm_activation": ("dataset-wise",),
    "use_glu_encoder": (False,),
    "tied_encoder": (False,),
    "sparsity_include_decoder_norm": (True, False),
    "apply_decoder_bias_to_pre_encoder": (True, False),
    "use_decoder_bias": (True, False),
}
"""What may be said of the computation; where a file says nothing, the first holds."""
DEFAULTS = {"apply_decoder_bias_to_pre_encoder": False}
READ = {
    *("d_model", "d_sae", "expansion_factor", "hook_point_in", "hook_point_out", "top_k"),
    *("dataset_average_activation_norm", "jump_relu_threshold"),
}
OF_TRAINING = {
    *("device", "seed", "dtype", "tp_size", "ddp_size", "lp", "k_warmup_steps", "use_ghost_grads"),
    *("bias_init_method", "init_decoder_norm", "init_encoder_norm", "decoder_exactly_fixed_norm"),
    *("init_encoder_with_decoder_transpose", "l1_coefficient", "l1_coefficient_warmup_steps"),
    *("use_batch_norm_mse", "sae_pretrained_name_or_path", "strict_loading"),
    "use_raw_private_hyperparams",
}
"""Settings that say how it was trained, and nothing of what it computes now."""


def load_llama_scope(
    folder: Path, k: int | None = None, scale: float | None = None, layer: int | None = None
) -> Sae:
    """Llama Scope's raw files, re-instantiated as TopK in its own normalised space.

    ``k``, ``scale`` and ``layer`` must be what the files state, where they state them.
    """
    require_sae_files(folder, "hyperparams.json", "checkpoints/final.safetensors")
    settings_file, weights_file = (
        folder / "hyperparams.json",
        folder / "checkpoints/final.safetensors",
    )
    settings = read_json(settings_file)
    said = _understood(settings, settings_file, layer)
    try:
        s_in, s_out = _scales(settings, settings_file)
        raw = {name: t.float() for name, t in load_file(weights_file).items()}
    except (SafetensorError, KeyError, ZeroDivisionError) as error:
        raise ValueError(f"{weights_file} is not a whole Llama Scope SAE ({error}).") from error
    _require_whole(raw, settings, said, weights_file)
    require_finite(raw, folder)
    b_dec = raw.get("decoder.bias", torch.zeros(raw["decoder.weight"].shape[0]))
    w_enc, b_enc = raw["encoder.weight"].T.contiguous(), raw["encoder.bias"]
    if said["apply_decoder_bias_to_pre_encoder"]:
        b_enc = without_decoder_bias(w_enc, b_enc, b_dec)
    rebuilds = s_in / s_out  # what is rebuilt in units of the output, in units of the input
    return Sae(
        w_enc=w_enc,
        b_enc=b_enc,
        w_dec=raw["decoder.weight"].T.contiguous() * rebuilds,
        b_dec=b_dec * rebuilds,
        gate=TopK(
            _agreed_k(k, settings.get("top_k"), folder), said["sparsity_include_decoder_norm"]
        ),
        scale=agreed_scale(scale, s_in, str(folder)),
    )


def _understood(settings: dict[str, Any], file: Path, layer: int | None) -> dict[str, Any]:
    """What the settings say of the computation; a ValueError if it is another one."""
    require_known(settings, {*EXPECTED, *READ, *OF_TRAINING}, file)
    whole, real = ("d_model", "d_sae", "top_k"), ("expansion_factor", "jump_relu_threshold")
    require_numbers(settings, file, whole=whole, real=real)
    hook = settings.get("hook_point_in")
    require_hook(hook, layer, str(file.parent))
    if settings.get("hook_point_out", hook) != hook:
        raise ValueError(
            f"{file} says hook_point_in {hook} and hook_point_out {settings['hook_point_out']}: "
            "expected a dictionary of one place, this is a transcoder."
        )
    said = {n: settings.get(n, DEFAULTS.get(n, allowed[0])) for n, allowed in EXPECTED.items()}
    for name, allowed in EXPECTED.items():
        if said[name] not in allowed:
            raise ValueError(
                f"{file} says {name} {said[name]!r}, expected {' or '.join(map(repr, allowed))}: "
                "the dictionary computes something else than Llama Scope's do."
            )
    return said


def _scales(settings: dict[str, Any], file: Path) -> tuple[float, float]:
    """s of what goes in and of what comes out."""
    norms, root = settings["dataset_average_activation_norm"], settings["d_model"] ** 0.5
    if not isinstance(norms, dict):
        raise ValueError(
            f"{file} says dataset_average_activation_norm {norms!r}, expected an object with in "
            "and out."
        )
    require_numbers(norms, file, whole=(), real=("in", "out"))
    s_in, s_out = root / norms["in"], root / norms.get("out", norms["in"])
    if isclose(s_in, s_out, rel_tol=1e-9):
        return s_in, s_in
    return s_in, s_out


def _require_whole(
    raw: dict[str, Tensor], settings: dict[str, Any], said: dict[str, Any], file: Path
) -> None:
    """All weights are there, of the shapes that the settings say."""
    d_model = settings["d_model"]
    names = ["encoder.weight", "encoder.bias", "decoder.weight"]
    require_keys(raw, [*names, "decoder.bias"] if said["use_decoder_bias"] else names, str(file))
    stated = settings.get("expansion_factor")
    d_sae = settings.get("d_sae", round(stated * d_model) if stated else len(raw["encoder.bias"]))
    shapes = {
        "encoder.weight": (d_sae, d_model),
        "encoder.bias": (d_sae,),
        "decoder.weight": (d_model, d_sae),
        "decoder.bias": (d_model,),
    }
    require_shapes(raw, {name: shapes[name] for name in raw}, str(file))


def _agreed_k(given: int | None, stated: float | None, folder: Path) -> int:
    if given is not None and stated is not None and given != stated:
        raise ValueError(
            f"{folder / 'hyperparams.json'} says top_k {stated}, and sae.k is {given}: set sae.k "
            f"to {stated}, or leave it out (another k fires another set of features)."
        )
    k = stated if given is None else given
    if k is None:
        raise ValueError(f"{folder / 'hyperparams.json'} says no top_k: set sae.k (paper: 50).")
    return int(k)
