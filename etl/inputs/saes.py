"""SAE files: where dictionaries come from, and where they are written to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from feature_atlas.dictionary.sae import Sae
from feature_atlas.dictionary.sae_lens_form import from_sae_lens, to_sae_lens
from feature_atlas.etl.config.inputs import SaeConfig
from feature_atlas.etl.inputs.llama_scope import load_llama_scope
from feature_atlas.etl.inputs.sae_facts import (
    agreed_scale,
    require_architecture,
    require_finite,
    require_folded,
    require_place,
    require_sae_files,
    stated_scale,
)
from feature_atlas.etl.inputs.sae_release import (
    find_released,
    llama_scope_folder,
    load_released,
)
from feature_atlas.etl.inputs.sparsify import load_sparsify


def sae_folder(config: SaeConfig, layer: int) -> Path:
    """Folder (or release id) of one layer's dictionary."""
    return Path(config.path.format(layer=layer))


def load_base_sae(config: SaeConfig, layer: int) -> Sae:
    """One layer's dictionary in the normalised space, in whatever layout its files are."""
    given, folder = (config.scales or {}).get(layer), sae_folder(config, layer)
    if config.source == "sae_lens_release":
        return _load_of_release(config, layer, given)
    read = {
        "llama_scope_folder": load_llama_scope,
        "sparsify_folder": load_sparsify,
        "sae_lens_folder": load_sae,
    }[config.source]
    return read(folder, k=config.k, scale=given, layer=layer)


def _load_of_release(config: SaeConfig, layer: int, given: float | None) -> Sae:
    entry = find_released(config, layer)
    if entry.is_llama_scope:
        return load_llama_scope(llama_scope_folder(entry), config.k, scale=given, layer=layer)
    sae = load_released(config, layer, entry)
    return _read(sae, layer, given, entry.scale, config.k, entry.name)


def load_sae(
    folder: Path, k: int | None = None, scale: float | None = None, layer: int | None = None
) -> Sae:
    """A SAELens folder; the scale is its metadata's ``activation_scale``, or the one given.

    ``k`` and ``layer`` must be what the folder states, where it states them.
    """
    from sae_lens import SAE

    require_sae_files(folder, "cfg.json", "sae_weights.safetensors")
    require_folded(folder)
    require_architecture(folder)
    try:
        sae: Any = SAE.load_from_disk(folder)
    except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{folder / 'sae_weights.safetensors'} cannot be read as the SAE of its cfg.json "
            f"({error}): it is truncated or of another shape; copy it again."
        ) from error
    return _read(sae, layer, scale, None, k, str(folder))


def _read(
    sae: Any,
    layer: int | None,
    given: float | None,
    released: float | None,
    k: int | None,
    where: str,
) -> Sae:
    """What SAELens read, checked and in the normalised space."""
    require_place(sae, layer, where)
    scale = agreed_scale(given, stated_scale(sae) or released, where)
    require_finite(sae.state_dict(), where)  # before anything is said of a row's length
    try:
        return from_sae_lens(sae, scale, k)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def save_sae(sae: Sae, folder: Path, metadata: Mapping[str, Any], dtype: str = "float32") -> None:
    """Write a SAELens folder for raw residuals, with the gate that the SAE has."""
    from sae_lens.saes.sae import SAEMetadata

    said = SAEMetadata(**metadata, activation_scale=sae.scale)
    to_sae_lens(sae, said, dtype).save_model(folder)
