"""Original checkpoints of LLaVA and LLaVA-MORE as transformers' Llava: checked, then written.

The same computation: the tower's features of one layer, with or without CLS, through two linear
layers with GELU between, in the place of the image tokens.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.filesize import decimal
from transformers import (
    LlavaConfig,
    LlavaImageProcessorPil,
    LlavaProcessor,
    PreTrainedTokenizerBase,
)

from feature_atlas.etl.inputs.llava_original.conversation import chat_template, find_conversation
from feature_atlas.etl.inputs.llava_original.layout import (
    TOWER_INSIDE,
    converted_names,
    expected_shapes,
    require_exact,
    tower_names,
    without_tied_head,
)
from feature_atlas.etl.inputs.llava_original.settings import S2, read_settings, text_config
from feature_atlas.etl.inputs.llava_original.source_weights import Stored, stored_tensors
from feature_atlas.etl.inputs.llava_original.target_weights import write_weights
from feature_atlas.etl.inputs.llava_original.vision_tower import VisionTower, find_vision_tower
from feature_atlas.etl.inputs.llava_original.vocabulary import (
    give_tokens,
    read_tokenizer,
    require_same_tokens,
)
from feature_atlas.etl.run_folder.artifacts import read_json


class Conversion(NamedTuple):
    """A checkpoint that can be converted, nothing of it written yet."""

    config: LlavaConfig
    """Of the converted model."""
    generation: dict[str, Any]
    """Its `generation_config.json`."""
    processor: LlavaProcessor
    """Its tokenizer, chat template and image processor."""
    tensors: dict[str, Stored]
    """Where each of its tensors lies, by the name that it will have."""
    factors: dict[str, float]
    """What some of them are multiplied by."""
    remarks: tuple[str, ...]
    """What its user should know."""


def plan_conversion(source: Path, vision_tower: str | None = None) -> Conversion:
    """Read and check everything but the weights' numbers; an error says what does not fit."""
    settings, stored = read_settings(source), stored_tensors(source)
    is_inside = any(one.name.startswith(TOWER_INSIDE) for one in stored)
    tower = find_vision_tower(
        settings["mm_vision_tower"], given=vision_tower, weights_needed=not is_inside
    )
    _require_one_scale(settings, tower)
    tokenizer, generation = read_tokenizer(source), _generation(source, settings)
    image_token = give_tokens(tokenizer, _ends(generation), settings["vocab_size"])
    generation["pad_token_id"] = tokenizer.pad_token_id
    config = _config(settings, tower, tokenizer, image_token)
    found = converted_names(stored)
    if not is_inside and tower.folder is not None:
        found |= tower_names(stored_tensors(tower.folder))
    expected = expected_shapes(config)
    found = without_tied_head(found, config)
    require_exact(found, expected, source)
    processor = _processor(settings, tower, tokenizer, config)
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Is it so?"}]}
    prompt = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    require_same_tokens(tokenizer, prompt, image_token)
    tensors = {name: found[name] for name in expected}
    remarks = (*tower.remarks, *_remarks(config))
    return Conversion(config, generation, processor, tensors, _factors(config, tensors), remarks)


def write_conversion(
    conversion: Conversion, folder: Path, progress: Callable[[str, int, int], None]
) -> None:
    """Write the converted checkpoint into a folder that is there and empty."""
    needed = sum(one.n_bytes for one in conversion.tensors.values())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"{folder.parent} has {decimal(free)} free, the weights need {decimal(needed)}: make "
            "room, or convert to another disk."
        )
    conversion.config.save_pretrained(folder)
    conversion.processor.save_pretrained(folder)
    (folder / "generation_config.json").write_text(
        json.dumps(conversion.generation, indent=2), encoding="utf-8"
    )
    write_weights(conversion.tensors, conversion.factors, folder, progress)


def _generation(source: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """How the original generates; at least what begins and ends a reply."""
    file = source / "generation_config.json"
    given = read_json(file) if file.is_file() else {}
    named = {key: settings[key] for key in ("bos_token_id", "eos_token_id") if key in settings}
    return {**named, **given}


def _ends(generation: Mapping[str, Any]) -> list[int]:
    ends = generation.get("eos_token_id")
    return ends if isinstance(ends, list) else [] if ends is None else [ends]


def _require_one_scale(settings: Mapping[str, Any], tower: VisionTower) -> None:
    width = settings.get("mm_hidden_size") or tower.config.hidden_size
    if width == tower.config.hidden_size:
        return
    raise ValueError(
        f"mm_hidden_size is {width}, the vision tower {settings['mm_vision_tower']} is "
        f"{tower.config.hidden_size} wide: "
        + (
            f"the model {S2}"
            if width % tower.config.hidden_size == 0
            else "name the folder of the tower that the checkpoint has with --vision-tower."
        )
    )


def _config(
    settings: Mapping[str, Any],
    tower: VisionTower,
    tokenizer: PreTrainedTokenizerBase,
    image_token: str,
) -> LlavaConfig:
    drops_cls = tower.has_cls and settings.get("mm_vision_select_feature", "patch") == "patch"
    text = text_config(settings, tokenizer.pad_token_id)
    return LlavaConfig(
        architectures=["LlavaForConditionalGeneration"],
        text_config=text,
        vision_config=tower.config,
        image_token_index=tokenizer.convert_tokens_to_ids(image_token),
        image_seq_length=tower.n_patches + (tower.has_cls and not drops_cls),
        projector_hidden_act="gelu",
        vision_feature_layer=settings["mm_vision_select_layer"],
        vision_feature_select_strategy="default" if drops_cls else "full",
        tie_word_embeddings=text.tie_word_embeddings,
        dtype=settings.get("torch_dtype"),
    )


def _processor(
    settings: Mapping[str, Any],
    tower: VisionTower,
    tokenizer: PreTrainedTokenizerBase,
    config: LlavaConfig,
) -> LlavaProcessor:
    """The class that pads is Llava's own: CLIP's takes the same setting and ignores it."""
    image_token = tokenizer.convert_ids_to_tokens(config.image_token_index)
    conversation = find_conversation(settings["model_type"], tokenizer)
    return LlavaProcessor(
        image_processor=LlavaImageProcessorPil(
            **tower.pictures, do_pad=settings.get("image_aspect_ratio") == "pad"
        ),
        tokenizer=tokenizer,
        patch_size=tower.config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=int(tower.has_cls),
        image_token=image_token,
        chat_template=chat_template(conversation, tokenizer, image_token),
    )


def _factors(config: LlavaConfig, tensors: Mapping[str, Stored]) -> dict[str, float]:
    """Gemma 2 scales what enters its first layer by sqrt(width).

    The original scales pictures and words alike; transformers 5 scales words alone, in the
    embedding. So the projector's last layer takes the factor, rounded as the model rounds it.
    """
    if config.text_config.model_type != "gemma2":
        return {}
    last = [name for name in tensors if name.startswith("multi_modal_projector.linear_2.")]
    scale = torch.tensor(config.text_config.hidden_size**0.5)
    return {name: scale.to(tensors[name].dtype).item() for name in last}


def _remarks(config: LlavaConfig) -> tuple[str, ...]:
    if getattr(config.text_config, "final_logit_softcapping", None) is None:
        return ()
    return (
        "transformers' Llava leaves out the last soft cap of Gemma 2: logits are those before it, "
        "in the same order; all layers are the original's.",
    )
