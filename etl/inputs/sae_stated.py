"""How well a dictionary does by what its own files, or its release, say (paper 3.2)."""

import re
from typing import Any

from feature_atlas.dictionary.gate_check import Stated
from feature_atlas.etl.config.inputs import SaeConfig
from feature_atlas.etl.inputs.sae_release import Released, find_released, release_settings
from feature_atlas.etl.inputs.saes import sae_folder
from feature_atlas.etl.run_folder.artifacts import read_json


def stated_by_release(config: SaeConfig, layer: int, d_sae: int) -> Stated:
    """Mean L0, FVU and dead features of one layer's dictionary, as far as they are stated."""
    if config.source == "sae_lens_release":
        entry = find_released(config, layer)
        return Stated(l0=_l0_of_release(entry), fvu=entry.fvu)
    folder = sae_folder(config, layer)
    if config.source == "llama_scope_folder":
        return Stated(l0=_number(read_json(folder / "hyperparams.json").get("top_k")))
    settings = read_json(folder / "cfg.json")
    if config.source == "sparsify_folder":
        return Stated(l0=_number(settings.get("k")))
    said = settings.get("metadata") or {}
    n_dead = said.get("num_dead_features")
    return Stated(
        l0=_number(said.get("l0")) or _k_of_training(said),
        share_dead=None if n_dead is None else n_dead / d_sae,
    )


def _k_of_training(said: dict[str, Any]) -> float | None:
    """BatchTopK and Matryoshka SAEs fire k features on average."""
    details = said.get("training_architecture_details") or {}
    return _number(details.get("k"))


def _l0_of_release(entry: Released) -> float | None:
    """The directory's, or the folder's name's, or what the settings beside the weights say."""
    named = re.search(r"average_l0_(\d+)", entry.folder)
    if entry.l0 is not None or named:
        return entry.l0 or float(named[1] if named else 0)
    if entry.conversion not in ("dictionary_learning_1", "gemma_3"):
        return None
    settings = release_settings(entry)
    return _number(settings.get("l0")) or _number(settings.get("trainer", {}).get("k"))


def _number(stated: Any) -> float | None:
    return None if stated is None else float(stated)
