"""EleutherAI's and lmms-lab's sparsify folders, without SAELens, whose reader of them is broken.

    layers.24/ or model.layers.24/ or layer_18/     the folder's name says what is read
        cfg.json            num_latents (or expansion_factor), k, d_in
        sae.safetensors     encoder.weight [F, d], encoder.bias, W_dec [F, d], b_dec

A feature is one of the k largest of (x - b_dec) W + b; no scale is stated.
"""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from feature_atlas.dictionary.gate import TopK
from feature_atlas.dictionary.sae import Sae, without_decoder_bias
from feature_atlas.dictionary.sae_lens_form import has_unit_rows
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

EXPECTED: dict[str, Any] = {
    "activation": "topk",
    "signed": False,
    "skip_connection": False,
    "transcode": False,
}
"""What may be said of the computation."""
READ = {"d_in", "num_latents", "expansion_factor", "k"}
OF_TRAINING = {"normalize_decoder", "multi_topk"}


def load_sparsify(
    folder: Path, k: int | None = None, scale: float | None = None, layer: int | None = None
) -> Sae:
    """A sparsify folder in the normalised space; ``k`` and ``layer`` must be what it states."""
    require_sae_files(folder, "cfg.json", "sae.safetensors")
    require_hook(folder.name, layer, str(folder))
    settings = _understood(read_json(folder / "cfg.json"), folder / "cfg.json")
    file = folder / "sae.safetensors"
    try:
        raw = {name: t.float() for name, t in load_file(file).items()}
    except SafetensorError as error:
        raise ValueError(f"{file} is not a whole sparsify SAE ({error}): copy it again.") from error
    if "W_skip" in raw:
        raise ValueError(f"{file} has W_skip: expected a dictionary, this is a transcoder.")
    d_in, d_sae = settings["d_in"], settings["num_latents"]
    require_keys(raw, ["encoder.weight", "encoder.bias", "W_dec", "b_dec"], str(file))
    of_features = {"encoder.weight": (d_sae, d_in), "encoder.bias": (d_sae,)}
    require_shapes(raw, {**of_features, "W_dec": (d_sae, d_in), "b_dec": (d_in,)}, str(file))
    require_finite(raw, folder)
    if k is not None and k != settings["k"]:
        raise ValueError(
            f"{folder / 'cfg.json'} says k {settings['k']}, and sae.k is {k}: leave sae.k out "
            "(another k fires another set of features)."
        )
    w_enc, w_dec = raw["encoder.weight"].T.contiguous(), raw["W_dec"]
    b_enc = without_decoder_bias(w_enc, raw["encoder.bias"], raw["b_dec"])
    s = agreed_scale(scale, None, str(folder))
    gate = TopK(int(settings["k"]), sees_norms=has_unit_rows(w_dec))
    return Sae(w_enc, b_enc, w_dec, raw["b_dec"], gate, s).with_biases_times(s)


def _understood(settings: dict[str, Any], file: Path) -> dict[str, Any]:
    """The settings, with the number of features filled in; a ValueError if they say more."""
    require_known(settings, {*EXPECTED, *READ, *OF_TRAINING}, file)
    for name, expected in EXPECTED.items():
        if settings.get(name, expected) != expected:
            raise ValueError(
                f"{file} says {name} {settings[name]!r}, expected {expected!r}: the dictionary "
                "is a transcoder, or its gate is not the k largest."
            )
    missing = sorted(name for name in ("d_in", "k") if settings.get(name) is None)
    if missing:
        raise ValueError(f"{file} says no {', '.join(missing)}: expected sparsify's cfg.json.")
    counted = {n: v for n, v in settings.items() if n != "num_latents" or v}  # 0: by the factor
    require_numbers(counted, file, whole=("d_in", "k", "num_latents"), real=("expansion_factor",))
    latents = settings.get("num_latents") or settings["d_in"] * settings.get("expansion_factor", 0)
    return {**settings, "num_latents": latents}
