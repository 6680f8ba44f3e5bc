"""What an SAE's files say of it, held against what it is used for: hook, scale, k, finiteness.

A dictionary that is taken for another one computes numbers as a right one does, so whatever the
files state is compared before the weights are used.
"""

from collections.abc import Collection, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from feature_atlas.dictionary.sae_lens_form import ARCHITECTURES
from feature_atlas.etl.inputs.hook_names import layer_read
from feature_atlas.etl.run_folder.artifacts import read_json


def require_hook(stated: str | None, layer: int | None, where: str) -> None:
    """An SAE that says what it reads reads the output of the layer it is used for."""
    if stated is None:
        return
    try:
        read = layer_read(str(stated))
    except ValueError as error:
        raise ValueError(f"{where} {error}") from None
    if layer is not None and read != layer:
        output = f"the output of layer {read}" if read >= 0 else "the embeddings"
        raise ValueError(
            f"{where} reads {stated}, {output}, and is given for layer {layer}: "
            "correct sae.path, sae.sae_id or sae.layers."
        )


def require_place(sae: Any, layer: int | None, where: str) -> None:
    """A SAELens SAE reads the layer's output, in either spelling, and writes there as well."""
    said = sae.cfg.metadata
    for stated in (said.hook_name, said.hf_hook_name):
        require_hook(stated, layer, where)
    if said.hook_name_out not in (None, said.hook_name):
        raise ValueError(
            f"{where} reads {said.hook_name} and writes {said.hook_name_out}: expected a "
            "dictionary of one place, this is a transcoder."
        )


def stated_scale(sae: Any) -> float | None:
    """The scale in a SAELens SAE's metadata, if it is there."""
    stated = getattr(sae.cfg.metadata, "activation_scale", None)
    return None if stated is None else float(stated)


def agreed_scale(given: float | None, stated: float | None, where: str) -> float:
    """The release's scale; the configuration fills it in, and never replaces it."""
    if given is not None and stated is not None and abs(given / stated - 1) > 1e-3:
        raise ValueError(
            f"{where} states the scale {stated:.6g}, and sae.scales gives {given:.6g}: leave the "
            "layer out of sae.scales (the release's scale is never estimated again)."
        )
    used = stated if given is None else given
    if used is None:
        raise ValueError(
            f"{where} states no activation_scale in its metadata: set sae.scales for its layer "
            "(sqrt(d_model) / average residual norm, as the release gives it; where it gives none, "
            "set 1, and the gate check says what it is by text of the base model)."
        )
    if not (isfinite(used) and used > 0):
        raise ValueError(f"{where}: the scale is {used}, expected a positive finite number.")
    return used


def require_folded(folder: Path) -> None:
    """SAELens' intermediate checkpoints keep the scale beside weights that lack it."""
    file = folder / "activation_scaler.json"
    scaler = read_json(file) if file.is_file() else {}
    if scaler.get("scaling_factor") is not None or scaler.get("has_whitening"):
        raise ValueError(
            f"{file} holds a scale (or whitening) that the weights beside it lack: this is an "
            "intermediate checkpoint. Use the final one, into which SAELens folds it."
        )


def require_architecture(folder: Path) -> None:
    """A SAELens folder is of a kind that is read, and says nothing that SAELens passes over."""
    settings = read_json(folder / "cfg.json")
    architecture = settings.get("architecture", "standard")
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"{folder / 'cfg.json'} says architecture {architecture!r}, expected one of "
            f"{', '.join(ARCHITECTURES)}. What SAELens trains as batchtopk or matryoshka is saved "
            "as jumprelu by save_inference_model; other kinds have no linear encoder and gate."
        )
    activation = settings.get("activation_fn", settings.get("activation_fn_str", "relu"))
    if activation not in ("relu", "topk") or settings.get("finetuning_scaling_factor"):
        raise ValueError(
            f"{folder / 'cfg.json'} says activation_fn {activation!r} and "
            f"finetuning_scaling_factor {settings.get('finetuning_scaling_factor')!r}, expected "
            "relu or topk, and false."
        )


def require_sae_files(folder: Path, *names: str) -> None:
    """An SAE folder has all the files of its kind."""
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"no {folder / name}: expected an SAE folder with {', '.join(names)}."
            )


def require_known(settings: Mapping[str, Any], known: Collection[str], file: Path) -> None:
    """No setting is left over that might change what a dictionary computes."""
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ValueError(
            f"{file} has settings unknown here: {', '.join(unknown)}. Remove those that say "
            "nothing of what the dictionary computes."
        )


def require_numbers(
    settings: Mapping[str, Any], file: Path, *, whole: Sequence[str], real: Sequence[str] = ()
) -> None:
    """What counts or measures, where it is stated, is a number above 0; JSON knows more kinds."""
    for name in (*whole, *real):
        value = settings.get(name)
        if value is None:
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and isfinite(value) and value > 0):
            raise ValueError(f"{file} says {name} {value!r}, expected a number above 0.")
        if name in whole and value != int(value):
            raise ValueError(f"{file} says {name} {value!r}, expected a whole number.")


def require_keys(found: Mapping[str, Any], expected: Collection[str], where: str) -> None:
    """No tensor is missing, and none is left over."""
    missing, unknown = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or unknown:
        raise ValueError(
            f"{where} lacks {', '.join(missing) or 'nothing'} and has "
            f"{', '.join(unknown) or 'nothing'} beyond: expected {', '.join(sorted(expected))}."
        )


def require_shapes(
    weights: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], where: str
) -> None:
    """Every tensor has the shape that the settings beside it say."""
    for name, shape in expected.items():
        if tuple(weights[name].shape) != shape:
            raise ValueError(
                f"{name} in {where} is of shape {tuple(weights[name].shape)}, and the settings "
                f"beside it say {shape}: copy both again, they are of two dictionaries."
            )


def require_finite(weights: Mapping[str, Tensor], where: Path | str) -> None:
    """No weight is NaN or infinite."""
    for name, weight in weights.items():
        if not torch.isfinite(weight).all():
            raise ValueError(f"{name} of the SAE in {where} holds NaN or infinity: replace it.")
