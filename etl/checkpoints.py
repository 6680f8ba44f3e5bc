"""Model and SAE files: the only place that knows where weights come from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    PreTrainedModel,
    ProcessorMixin,
)

from feature_atlas.etl.config import SaeConfig, VlmConfig
from feature_atlas.sae import TopKSae, folded, from_sae_lens
from feature_atlas.vlm import decoder_layers, freeze, text_model


class Vlm(NamedTuple):
    """A loaded vision-language model."""

    model: PreTrainedModel
    processor: ProcessorMixin


def load_vlm(config: VlmConfig, device: str) -> Vlm:
    """The model in evaluation mode without gradients, and its processor.

    Pictures are always prepared by Pillow: another back end differs in the last bits.
    """
    source = str(vlm_folder(config))
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            source, dtype=getattr(torch, config.dtype)
        )
        processor = AutoProcessor.from_pretrained(source, backend="pil")
    except SafetensorError as error:
        raise ValueError(
            f"a safetensors file in {source} cannot be read ({error}): it is truncated or not "
            "safetensors; copy or download it again."
        ) from error
    return Vlm(freeze(model).to(device), processor)


def vlm_folder(config: VlmConfig) -> Path:
    """The local folder of the checkpoint; a hub id is downloaded (or found in the cache)."""
    folder = Path(config.path)
    if folder.is_dir():
        return folder
    if folder.is_absolute() or config.path.count("/") != 1:
        raise FileNotFoundError(
            f"no VLM at {config.path!r}: expected a folder written by save_pretrained, or a hub "
            "id like 'owner/name'; set vlm.path."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(config.path, revision=config.revision))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise FileNotFoundError(
            f"cannot get {config.path!r} from the hub ({error}): download it where there is a "
            "network and set vlm.path to the folder."
        ) from error


def load_base_saes(config: SaeConfig, model: PreTrainedModel, device: str) -> dict[int, TopKSae]:
    """The base dictionary of every layer in the normalised space, checked against the model."""
    n_layers, width = len(decoder_layers(model)), text_model(model).config.hidden_size
    saes = {}
    for layer in config.layers:
        if layer >= n_layers:
            raise ValueError(
                f"layer {layer} asked for, the model has {n_layers} layers: "
                f"expected 0 to {n_layers - 1} in sae.layers."
            )
        sae = _load_base_sae(config, layer)
        if sae.w_enc.shape[0] != width:
            raise ValueError(
                f"base SAE of layer {layer} ({sae_folder(config, layer)}) takes residuals of "
                f"width {sae.w_enc.shape[0]}, the model's are {width} wide: "
                "use the SAEs of this model's language model."
            )
        saes[layer] = sae.to(device)
    sizes = {len(sae.w_dec) for sae in saes.values()}
    if len(sizes) != 1:
        raise ValueError(f"base SAEs have {sorted(sizes)} features: expected one size for all.")
    return saes


def sae_folder(config: SaeConfig, layer: int) -> Path:
    """Folder (or release id) of one layer's dictionary."""
    return Path(config.path.format(layer=layer))


def _load_base_sae(config: SaeConfig, layer: int) -> TopKSae:
    given = (config.scales or {}).get(layer)
    if config.source == "llama_scope_folder":
        return load_llama_scope(sae_folder(config, layer), config.k)
    if config.source == "sae_lens_release":
        from huggingface_hub import snapshot_download
        from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

        entry = get_pretrained_saes_directory()[config.path]
        sub = entry.saes_map[config.sae_id.format(layer=layer)]
        folder = Path(snapshot_download(entry.repo_id, allow_patterns=[f"{sub}/*"])) / sub
        if entry.conversion_func == "llama_scope":
            return load_llama_scope(folder, config.k)
        return load_sae(folder, scale=given)
    return load_sae(sae_folder(config, layer), scale=given)


def load_sae(folder: Path, scale: float | None = None) -> TopKSae:
    """A SAELens folder; the scale is its metadata's ``activation_scale`` unless given."""
    from sae_lens import SAE

    _require_sae_files(folder, "cfg.json", "sae_weights.safetensors")
    try:
        sae: Any = SAE.load_from_disk(folder)
    except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{folder / 'sae_weights.safetensors'} cannot be read as the SAE of its cfg.json "
            f"({error}): it is truncated or of another shape; copy it again."
        ) from error
    stated = getattr(sae.cfg.metadata, "activation_scale", None)
    used = scale if scale is not None else stated
    if used is None:
        raise ValueError(
            f"{folder} states no activation_scale in its metadata: set sae.scales for its layer "
            "(sqrt(d_model) / average residual norm, as the release gives it)."
        )
    _require_finite(sae.state_dict(), folder)  # before anything is said of a row's length
    return from_sae_lens(sae, float(used))


def load_llama_scope(folder: Path, k: int) -> TopKSae:
    """Llama Scope's raw files, re-instantiated as TopK in its own normalised space (paper 4.1)."""
    _require_sae_files(folder, "hyperparams.json", "checkpoints/final.safetensors")
    settings = json.loads((folder / "hyperparams.json").read_text())
    weights = folder / "checkpoints" / "final.safetensors"
    try:
        raw = {name: t.float() for name, t in load_file(weights).items()}
        _require_finite(raw, folder)
        norm = settings["dataset_average_activation_norm"]["in"]
        return TopKSae(
            w_enc=raw["encoder.weight"].T.contiguous(),
            b_enc=raw["encoder.bias"],
            w_dec=raw["decoder.weight"].T.contiguous(),
            b_dec=raw["decoder.bias"],
            k=k,
            scale=settings["d_model"] ** 0.5 / norm,
        )
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{weights} is not a whole Llama Scope SAE ({error}).") from error


def save_sae(sae: TopKSae, folder: Path, metadata: Mapping[str, Any]) -> None:
    """Write a SAELens folder for raw residuals with unit decoder rows."""
    from sae_lens.saes.sae import SAEMetadata
    from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

    d_model, d_sae = sae.w_enc.shape
    exported = TopKSAE(
        TopKSAEConfig(
            d_in=d_model,
            d_sae=d_sae,
            k=sae.k,
            apply_b_dec_to_input=False,
            normalize_activations="none",
            metadata=SAEMetadata(**metadata, activation_scale=sae.scale),
        )
    )
    exported.load_state_dict({name: t.cpu() for name, t in folded(sae).items()})
    exported.save_model(folder)


def _require_sae_files(folder: Path, *names: str) -> None:
    for name in names:
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"no {folder / name}: expected an SAE folder with {', '.join(names)}."
            )


def _require_finite(weights: Mapping[str, Tensor], folder: Path) -> None:
    for name, weight in weights.items():
        if not torch.isfinite(weight).all():
            raise ValueError(f"{name} of the SAE in {folder} holds NaN or infinity: replace it.")
