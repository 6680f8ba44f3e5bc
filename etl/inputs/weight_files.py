"""Which weights a checkpoint's folder holds, from its files' headers; no weight is read.

One set of weights in one format, whole: what else lies there is refused, because a loader that
finds several takes one of them without a word.
"""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers.modeling_utils import load_state_dict

from feature_atlas.etl.run_folder.artifacts import read_json

SETS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Where transformers looks, in its order; an index names the files of a set."""

ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
ADAPTER_WEIGHTS = "non_lora_trainables.bin"

FULL = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
"""Kinds of number that are weights as they were trained."""


def weight_headers(folder: Path) -> dict[str, Tensor]:
    """Every weight's name, shape and kind of number, as tensors without content."""
    weights: dict[str, Tensor] = {}
    for file in weight_files(folder):
        for name, weight in file_header(file).items():
            if name in weights:
                raise ValueError(
                    f"{file} holds {name}, which another file of {folder} holds as well: two "
                    "checkpoints lie there; keep one."
                )
            weights[name] = weight
    _require_full_numbers(folder, weights)
    return weights


def weight_files(folder: Path) -> list[Path]:
    """The files of the folder's one set of weights."""
    _require_settings(folder)
    _require_no_adapter(folder)
    sets = [folder / name for name in SETS if (folder / name).is_file()]
    if len(sets) > 1:
        raise ValueError(
            f"{folder} holds weights in several formats, {' and '.join(s.name for s in sets)}: "
            "only one of them would be read; keep the one that is meant and move the others away."
        )
    if not sets:
        raise FileNotFoundError(f"{folder} holds no weights: {_what_lies_there(folder)}")
    return _of_index(sets[0]) if sets[0].suffix == ".json" else sets


def _what_lies_there(folder: Path) -> str:
    kinds = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx")
    found = sorted(file.name for file in folder.iterdir() if file.suffix in kinds)
    known = " or ".join(SETS)
    if not found:
        return f"expected {known}, as save_pretrained writes them."
    shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
    return (
        f"there are {shown}, and expected is {known}, as save_pretrained writes them. Convert the "
        "checkpoint (of the original LLaVA or LLaVA-MORE: `feature-atlas convert llava`), or "
        "copy the file that names the shards too."
    )


def _of_index(index: Path) -> list[Path]:
    """The files that an index names, all there, and no other of their kind beside them."""
    said = read_json(index)
    named = said.get("weight_map")
    if not isinstance(named, dict) or not named or "metadata" not in said:
        raise ValueError(
            f"{index} has no metadata or no weight_map: transformers reads no such index; copy it "
            "again."
        )
    names = sorted(set(map(str, named.values())))
    files = [index.parent / name for name in names]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{index} names {', '.join(missing[:5])}, and {len(missing)} of its {len(files)} "
            f"files are not in {index.parent}: copy or download the checkpoint whole."
        )
    pattern = f"{index.name.split('.')[0]}-*{files[0].suffix}"
    surplus = sorted(file.name for file in index.parent.glob(pattern) if file.name not in names)
    if surplus:
        raise ValueError(
            f"{index.parent} holds {', '.join(surplus[:5])}, which {index.name} does not name: "
            "two checkpoints lie there; keep one."
        )
    return files


def _require_settings(folder: Path) -> None:
    file = folder / "config.json"
    if not file.is_file():
        if any((folder / name).is_file() for name in ADAPTERS):
            _require_no_adapter(folder)
        raise FileNotFoundError(
            f"no {file}: expected a folder that save_pretrained wrote, with weights and settings."
        )
    for settings in _sections(read_json(file)):
        quantised = settings.get("quantization_config")
        if quantised:
            method = quantised.get("quant_method", "?") if isinstance(quantised, dict) else "?"
            raise ValueError(
                f"{file} says that the weights are quantised ({method}): activations, gradients "
                "and what features are worth would be those of the rounding too. Use the "
                "checkpoint in float32, bfloat16 or float16."
            )
        if settings.get("transformers_weights"):
            raise ValueError(
                f"{file} names weights of its own ({settings['transformers_weights']}): expected "
                f"{' or '.join(SETS)}; load the model and save_pretrained it."
            )


def _sections(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield settings
    for inner in settings.values():
        if isinstance(inner, dict):
            yield inner


def _require_no_adapter(folder: Path) -> None:
    found = [name for name in (*ADAPTERS, ADAPTER_WEIGHTS) if (folder / name).is_file()]
    if found:
        raise ValueError(
            f"{folder} holds an adapter that was not merged ({', '.join(found)}): merge it into "
            "its model (peft's merge_and_unload), save_pretrained the result and name that."
        )


def file_header(file: Path) -> dict[str, Tensor]:
    """Of one file: its weights as tensors without content."""
    try:
        found: dict[str, Tensor] = load_state_dict(file, map_location="meta")
    except (
        *(SafetensorError, RuntimeError, ValueError, OSError, EOFError, KeyError),
        pickle.UnpicklingError,
    ) as error:
        raise ValueError(
            f"{file} cannot be read as weights ({error}): it is truncated or of another kind; copy "
            "or download it again."
        ) from error
    others = [name for name, weight in found.items() if not isinstance(weight, Tensor)]
    if others:
        raise ValueError(
            f"{file} holds {', '.join(map(str, others[:3]))}, which are no weights: it is a "
            "training state; save_pretrained the model."
        )
    return found


def _require_full_numbers(folder: Path, weights: dict[str, Tensor]) -> None:
    """Numbers of eight bits and fewer are quantised; whole ones of 64 are positions."""
    small = [name for name, w in weights.items() if w.dtype not in FULL and w.element_size() < 4]
    small = [name for name in small if weights[name].dtype != torch.bool]
    if small:
        raise ValueError(
            f"{folder} holds {small[0]} in {str(weights[small[0]].dtype).removeprefix('torch.')}, "
            f"and {len(small) - 1} more like it: quantised weights. Use the checkpoint in float32, "
            "bfloat16 or float16."
        )
