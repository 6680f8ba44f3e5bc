"""Model and SAE files: the only place that knows where weights come from."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from feature_atlas.dictionary.sae import TopKSae, folded, from_sae_lens
from feature_atlas.etl.config.inputs import BaseModelConfig, InstructConfig, SaeConfig, VlmConfig
from feature_atlas.etl.inputs.llama_scope import load_llama_scope
from feature_atlas.etl.inputs.sae_facts import (
    agreed_scale,
    require_finite,
    require_folded,
    require_hook,
    require_sae_files,
    stated_scale,
)
from feature_atlas.etl.inputs.sae_release import download, find_released, load_released
from feature_atlas.vlm.residual_stream import decoder_layers, freeze, text_model


class BaseModel(NamedTuple):
    """A loaded language model, from before it saw images."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


class Vlm(NamedTuple):
    """A loaded vision-language model."""

    model: PreTrainedModel
    processor: ProcessorMixin


def load_vlm(config: VlmConfig, device: str) -> Vlm:
    """The model in evaluation mode without gradients, and its processor.

    Pictures are always prepared by Pillow: another back end differs in the last bits.
    """
    source = str(vlm_folder(config))
    with _readable_weights(source):
        model = AutoModelForImageTextToText.from_pretrained(
            source, dtype=getattr(torch, config.dtype)
        )
        processor = AutoProcessor.from_pretrained(source, backend="pil")
    return Vlm(freeze(model).to(device), processor)


def load_base_model(
    config: BaseModelConfig, vlm: PreTrainedModel, dtype: str, device: str
) -> BaseModel:
    """The base language model like the VLM's own: frozen, of one dtype, with as many layers."""
    source = str(base_model_folder(config))
    with _readable_weights(source):
        model = AutoModelForCausalLM.from_pretrained(source, dtype=getattr(torch, dtype))
        tokenizer = AutoTokenizer.from_pretrained(source)
    found, expected = _shape(model), _shape(vlm)
    if found != expected:
        raise ValueError(
            f"the base model in {source} has {found[0]} layers of width {found[1]}, the VLM's "
            f"language model {expected[0]} of width {expected[1]}: set base_model.path to the "
            "model that the VLM was tuned from."
        )
    return BaseModel(freeze(model).to(device), tokenizer)


def _shape(model: PreTrainedModel) -> tuple[int, int]:
    return len(decoder_layers(model)), text_model(model).config.hidden_size


@contextmanager
def _readable_weights(source: str) -> Iterator[None]:
    """A damaged file is named, not safetensors' offset in it."""
    try:
        yield
    except SafetensorError as error:
        raise ValueError(
            f"a safetensors file in {source} cannot be read ({error}): it is truncated or not "
            "safetensors; copy or download it again."
        ) from error


def vlm_folder(config: VlmConfig) -> Path:
    """The local folder of the VLM."""
    return _checkpoint_folder(config.path, config.revision, "vlm.path")


def base_model_folder(config: BaseModelConfig) -> Path:
    """The local folder of the base language model."""
    return _checkpoint_folder(config.path, config.revision, "base_model.path")


def instruct_folder(config: InstructConfig) -> Path:
    """The local folder of the instruction-tuned model of the regime instruct."""
    return _checkpoint_folder(config.path, config.revision, "instruct.path")


def _checkpoint_folder(path: str, revision: str | None, setting: str) -> Path:
    """The local folder of a checkpoint; a hub id is downloaded (or found in the cache)."""
    folder = Path(path)
    if folder.is_dir():
        return folder
    if folder.is_absolute() or path.count("/") != 1:
        raise FileNotFoundError(
            f"no model at {path!r}: expected a folder written by save_pretrained, or a hub "
            f"id like 'owner/name'; set {setting}."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(path, revision=revision))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise FileNotFoundError(
            f"cannot get {path!r} from the hub ({error}): download it where there is a "
            f"network and set {setting} to the folder."
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
    folder = sae_folder(config, layer)
    if config.source == "llama_scope_folder":
        return load_llama_scope(folder, config.k, scale=given, layer=layer)
    if config.source == "sae_lens_release":
        entry = find_released(config, layer)
        if entry.is_llama_scope:
            return load_llama_scope(download(entry), config.k, scale=given, layer=layer)
        sae = load_released(config, layer)
        require_hook(sae.cfg.metadata.hook_name, layer, entry.name)
        scale = agreed_scale(given, stated_scale(sae) or entry.scale, entry.name)
        return from_sae_lens(sae, scale, config.k)
    return load_sae(folder, scale=given, k=config.k, layer=layer)


def load_sae(
    folder: Path, scale: float | None = None, k: int | None = None, layer: int | None = None
) -> TopKSae:
    """A SAELens folder; the scale is its metadata's ``activation_scale``, or the one given.

    ``k`` and ``layer`` must be what the folder states, where it states them.
    """
    from sae_lens import SAE

    require_sae_files(folder, "cfg.json", "sae_weights.safetensors")
    require_folded(folder)
    try:
        sae: Any = SAE.load_from_disk(folder)
    except (SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{folder / 'sae_weights.safetensors'} cannot be read as the SAE of its cfg.json "
            f"({error}): it is truncated or of another shape; copy it again."
        ) from error
    require_hook(sae.cfg.metadata.hook_name, layer, str(folder))
    used = agreed_scale(scale, stated_scale(sae), str(folder))
    require_finite(sae.state_dict(), folder)  # before anything is said of a row's length
    try:
        return from_sae_lens(sae, used, k)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None


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
