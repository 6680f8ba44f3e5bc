"""Llama Scope's raw files, without SAELens in between."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae
from feature_atlas.etl.inputs.sae_facts import (
    agreed_scale,
    require_finite,
    require_hook,
    require_sae_files,
)


def load_llama_scope(
    folder: Path, k: int | None = None, scale: float | None = None, layer: int | None = None
) -> Sae:
    """Llama Scope's raw files, re-instantiated as TopK in its own normalised space (paper 4.1).

    ``k``, ``scale`` and ``layer`` must be what the files state, where they state them.
    """
    require_sae_files(folder, "hyperparams.json", "checkpoints/final.safetensors")
    settings = json.loads((folder / "hyperparams.json").read_text())
    weights = folder / "checkpoints" / "final.safetensors"
    require_hook(settings.get("hook_point_in"), layer, str(folder))
    if settings.get("apply_decoder_bias_to_pre_encoder"):
        raise ValueError(
            f"{folder / 'hyperparams.json'} says apply_decoder_bias_to_pre_encoder, expected false "
            "as in Llama Scope: fold it into the encoder's bias (b - W b_dec) and say false."
        )
    try:
        raw = {name: t.float() for name, t in load_file(weights).items()}
        require_finite(raw, folder)
        norm = settings["dataset_average_activation_norm"]["in"]
        return Sae(
            w_enc=raw["encoder.weight"].T.contiguous(),
            b_enc=raw["encoder.bias"],
            w_dec=raw["decoder.weight"].T.contiguous(),
            b_dec=raw["decoder.bias"],
            gate=TopK(_agreed_k(k, settings.get("top_k"), folder)),
            scale=agreed_scale(scale, settings["d_model"] ** 0.5 / norm, str(folder)),
        )
    except (SafetensorError, KeyError, ZeroDivisionError) as error:
        raise ValueError(f"{weights} is not a whole Llama Scope SAE ({error}).") from error


def _agreed_k(given: int | None, stated: int | None, folder: Path) -> int:
    if given is not None and stated is not None and given != stated:
        raise ValueError(
            f"{folder / 'hyperparams.json'} says top_k {stated}, and sae.k is {given}: set sae.k "
            f"to {stated}, or leave it out (another k fires another set of features)."
        )
    k = stated if given is None else given
    if k is None:
        raise ValueError(f"{folder / 'hyperparams.json'} says no top_k: set sae.k (paper: 50).")
    return k
