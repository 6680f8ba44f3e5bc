"""Model files: where the weights of VLM and base models come from; SAEs are in `saes`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from feature_atlas.etl.config.inputs import BaseModelConfig, InstructConfig, VlmConfig
from feature_atlas.etl.inputs.processors import read_processor
from feature_atlas.etl.inputs.skeletons import (
    image_text_skeleton,
    language_skeleton,
    require_complete,
)
from feature_atlas.vlm.decoder_inputs import text_model
from feature_atlas.vlm.residual_stream import decoder_layers, freeze


class BaseModel(NamedTuple):
    """A loaded language model, from before it saw images."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


class Vlm(NamedTuple):
    """A loaded vision-language model."""

    model: PreTrainedModel
    processor: ProcessorMixin


def load_vlm(config: VlmConfig, device: str) -> Vlm:
    """The model in evaluation mode without gradients, and its processor."""
    folder = vlm_folder(config)
    image_text_skeleton(folder)
    model = _load(AutoModelForImageTextToText, folder, config.dtype)
    return Vlm(freeze(model).to(device), load_processor(config))


def load_processor(config: VlmConfig) -> ProcessorMixin:
    """The VLM's own processor: chat template, tokenizer, pictures."""
    return read_processor(vlm_folder(config))


def load_base_model(
    config: BaseModelConfig, vlm: PreTrainedModel, dtype: str, device: str
) -> BaseModel:
    """The base language model like the VLM's own: frozen, of one dtype, with as many layers."""
    folder = base_model_folder(config)
    require_same_shape(language_skeleton(folder).model, vlm, folder, "base_model.path")
    model = _load(AutoModelForCausalLM, folder, dtype)
    return BaseModel(freeze(model).to(device), load_tokenizer(folder))


def load_instruct_model(
    config: InstructConfig, vlm: PreTrainedModel, dtype: str, device: str
) -> BaseModel:
    """The instruction-tuned model, held to the same as the base model."""
    folder = instruct_folder(config)
    skeleton = language_skeleton(folder, "instruct.path")
    require_same_shape(skeleton.model, vlm, folder, "instruct.path")
    model = _load(AutoModelForCausalLM, folder, dtype)
    return BaseModel(freeze(model).to(device), load_tokenizer(folder))


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A language model's own tokenizer."""
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{folder} has no tokenizer that transformers loads ({error}): copy its files beside "
            "the weights."
        ) from error


def require_same_shape(
    model: PreTrainedModel, vlm: PreTrainedModel, folder: Path, setting: str
) -> None:
    """Refuse a language model of another depth or width than the VLM's own."""
    found, expected = _shape(model), _shape(vlm)
    if found != expected:
        raise ValueError(
            f"the language model in {folder} has {found[0]} layers of width {found[1]}, the VLM's "
            f"{expected[0]} of width {expected[1]}: set {setting} to a model of the line that the "
            "VLM was tuned from."
        )


def _load(auto: Any, folder: Path, dtype: str) -> PreTrainedModel:
    """Whole, or an error: transformers alone would fill what is lacking with random numbers."""
    with _readable_weights(folder):
        model, info = auto.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            output_loading_info=True,
            trust_remote_code=False,
        )
    require_complete(folder, model, info)
    return model


def _shape(model: PreTrainedModel) -> tuple[int, int]:
    return len(decoder_layers(model)), text_model(model).config.hidden_size


@contextmanager
def _readable_weights(source: Path) -> Iterator[None]:
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
