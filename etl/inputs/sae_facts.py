"""What an SAE's files say of it, held against what it is used for: hook, scale, k, finiteness.

A dictionary that is taken for another one computes numbers as a right one does, so whatever the
files state is compared before the weights are used.
"""

import json
import re
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def require_hook(stated: str | None, layer: int | None, where: str) -> None:
    """An SAE that says what it reads reads the output of the layer it is used for."""
    found = re.fullmatch(r"blocks\.(\d+)\.(\w+)", stated or "")
    if found is None or layer is None:
        return
    is_input = found[2] == "hook_resid_pre"  # the input of a block is the output of the one before
    if not is_input and found[2] != "hook_resid_post":
        raise ValueError(f"{where} reads {stated}: expected the residual stream, hook_resid_post.")
    read = int(found[1]) - is_input
    if read != layer:
        raise ValueError(
            f"{where} reads {stated}, the output of layer {read}, and is given for layer {layer}: "
            "correct sae.path, sae.sae_id or sae.layers."
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
            "(sqrt(d_model) / average residual norm, as the release gives it)."
        )
    if not (isfinite(used) and used > 0):
        raise ValueError(f"{where}: the scale is {used}, expected a positive finite number.")
    return used


def require_folded(folder: Path) -> None:
    """SAELens' intermediate checkpoints keep the scale beside weights that lack it."""
    file = folder / "activation_scaler.json"
    scaler = json.loads(file.read_text()) if file.is_file() else {}
    if scaler.get("scaling_factor") is not None or scaler.get("has_whitening"):
        raise ValueError(
            f"{file} holds a scale (or whitening) that the weights beside it lack: this is an "
            "intermediate checkpoint. Use the final one, into which SAELens folds it."
        )


def require_sae_files(folder: Path, *names: str) -> None:
    """An SAE folder has all the files of its kind."""
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"no {folder / name}: expected an SAE folder with {', '.join(names)}."
            )


def require_finite(weights: Mapping[str, Tensor], folder: Path) -> None:
    """No weight is NaN or infinite."""
    for name, weight in weights.items():
        if not torch.isfinite(weight).all():
            raise ValueError(f"{name} of the SAE in {folder} holds NaN or infinity: replace it.")
