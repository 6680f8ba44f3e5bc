"""A model without its weights: its shapes, after every weight was found under its own name.

The very function of transformers that fills a model is given the files' headers, so that names
are translated as they will be, and what it would fill with random numbers is an error.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PreTrainedModel,
)
from transformers.utils import logging

from feature_atlas.etl.inputs.weight_files import FULL, weight_headers
from feature_atlas.etl.run_folder.artifacts import read_json
from feature_atlas.vlm.decoder_inputs import require_image_tokens

N_NAMED = 6
"""Weights that an error names; of the others it says how many."""


class Skeleton(NamedTuple):
    """What is known of a checkpoint before a weight is read."""

    model: PreTrainedModel
    """On no device: shapes alone."""
    stored: dict[str, int]
    """Weights by the kind of number they are stored in, e.g. float16."""


def image_text_skeleton(folder: Path, setting: str = "vlm.path") -> Skeleton:
    """Of a vision-language model."""
    found = _skeleton(AutoModelForImageTextToText, folder, f"{setting}: an image-text model")
    require_image_tokens(found.model)
    return found


def language_skeleton(folder: Path, setting: str = "base_model.path") -> Skeleton:
    """Of a language model."""
    return _skeleton(AutoModelForCausalLM, folder, f"{setting}: a causal language model")


def require_complete(folder: Path, model: PreTrainedModel, info: Mapping[str, Any]) -> None:
    """Refuse a model of which transformers says that weights were lacking or left over."""
    said = [
        *_listed("missing", sorted(info["missing_keys"])),
        *_listed("not known to the model", sorted(info["unexpected_keys"])),
        *_listed("of another shape", [_shapes(*m) for m in sorted(info["mismatched_keys"])]),
        *_listed("not readable", [str(error) for error in info["error_msgs"]]),
    ]
    if said:
        raise ValueError(
            f"the weights in {folder} are not those of the {type(model).__name__} of its "
            f"config.json: {'; '.join(said)}. {_advice(info['unexpected_keys'])}"
        )


def _skeleton(auto: Any, folder: Path, wanted: str) -> Skeleton:
    weights = weight_headers(folder)
    settings = _settings(folder)
    with _quiet():
        try:
            with torch.device("meta"):
                kind = type(auto.from_config(settings, trust_remote_code=False))
        except ValueError as error:
            raise ValueError(
                f"{folder / 'config.json'} is of model_type {settings.model_type!r}, and expected "
                f"in {wanted} that transformers knows ({_first_line(error)})."
            ) from None
        model, info = kind.from_pretrained(
            None,
            config=settings,
            state_dict=weights,
            device_map="meta",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    require_complete(folder, model, info)
    return Skeleton(model, _kinds(weights))


def _settings(folder: Path) -> Any:
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (ValueError, KeyError, OSError) as error:
        kind = str(read_json(folder / "config.json").get("model_type"))
        if "llava" in kind:
            raise ValueError(
                f"{folder} is in the original LLaVA layout (model_type {kind!r}): convert it with "
                "`feature-atlas convert llava SOURCE TARGET`, and name the target."
            ) from None
        raise ValueError(
            f"{folder / 'config.json'} of model_type {kind!r} is not one that this transformers "
            f"reads ({_first_line(error)})."
        ) from None


def _kinds(weights: Mapping[str, Tensor]) -> dict[str, int]:
    found = [w.dtype for w in weights.values() if w.dtype in FULL]
    return {str(k).removeprefix("torch."): found.count(k) for k in FULL if k in found}


def _listed(what: str, names: Collection[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
        yield f"{what} are {', '.join(list(names)[:N_NAMED])}{more}"


def _shapes(name: str, found: Collection[int], expected: Collection[int]) -> str:
    return f"{name} ({list(found)}, expected {list(expected)})"


def _advice(unexpected: Collection[str]) -> str:
    if any("lora_" in name for name in unexpected):
        return "An adapter was not merged: merge_and_unload it and save_pretrained the result."
    if any("mm_projector" in name for name in unexpected):
        return "This is the original LLaVA layout: convert it with `feature-atlas convert llava`."
    return (
        "Lacking weights would be random numbers, so nothing is loaded: copy the checkpoint whole, "
        "or name the one that its config.json describes."
    )


def _first_line(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return said[0][:200] if said else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """What transformers reports of headers is said by us."""
    level, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bar:
            logging.enable_progress_bar()
