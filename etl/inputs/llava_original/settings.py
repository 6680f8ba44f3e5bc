"""The original's `config.json`: which language model, which pictures; what it says is understood.

A setting that is not understood may change what the model computes, so it is refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import Gemma2Config, LlamaConfig, Phi3Config, PreTrainedConfig

from feature_atlas.etl.run_folder.artifacts import read_json

TEXT_MODELS: dict[str, type[PreTrainedConfig]] = {
    "llava_llama": LlamaConfig,
    "llava_gemma": Gemma2Config,
    "llava_phi": Phi3Config,
}

S2 = (
    "joins the features of several scales (S2), which transformers' Llava has not: "
    "convert the checkpoint that was trained without S2."
)
WHY_REFUSED = {
    "mm_projector_type": "transformers' Llava has a projector of two layers with GELU between.",
    "mm_patch_merge_type": "transformers' Llava has one picture of one tile in a prompt.",
    "mm_use_im_start_end": "the prompt would need <im_start> and <im_end> around the picture.",
    "mm_resampler_type": "transformers' Llava has no resampler between tower and projector.",
    "image_aspect_ratio": "transformers' Llava sees one tile, the picture as it is or padded.",
    "mm_vision_select_feature": "known are the patches alone, and the patches with CLS.",
    "s2": S2,
    "mm_s2": S2,
    "use_s2": S2,
    "lm_head_bias": "transformers' Llava has an output matrix without bias.",
    "full_attn_mod": "transformers' Phi-3 does not read it.",
    "interpolate_factor": "transformers' Phi-3 does not read it.",
}
UNDERSTOOD: dict[str, tuple[Any, ...]] = {
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_patch_merge_type": ("flat", None),
    "mm_use_im_start_end": (False, None),
    "mm_resampler_type": (None,),
    "image_aspect_ratio": ("pad", "square", None),
    "mm_vision_select_feature": ("patch", "cls_patch"),
    "s2": (False, None),
    "mm_s2": (False, None),
    "use_s2": (False, None),
    "lm_head_bias": (False, None),
    "full_attn_mod": (1, None),
    "interpolate_factor": (1, None),
}
READ_ELSEWHERE = {"mm_vision_tower", "mm_vision_select_layer", "mm_hidden_size"}
WITHOUT_EFFECT = {
    # how it was trained, and limits that no prompt of one picture reaches
    "_attn_implementation_autoset",
    "auto_map",
    "cache_implementation",
    "freeze_mm_mlp_adapter",
    "image_crop_resolution",
    "image_grid_pinpoints",
    "image_split_resolution",
    "max_length",
    "mm_projector_lr",
    "mm_tunable_parts",
    "mm_use_im_patch_token",
    "mm_vision_tower_lr",
    "model_architecture",
    "s2_scales",
    "siglip",
    "tokenizer_model_max_length",
    "tokenizer_padding_side",
    "torch_dtype",
    "tune_mm_mlp_adapter",
    "tune_mm_vision_resampler",
    "unfreeze_mm_vision_tower",
    "use_mm_proj",
}
OLD_NAMES = {"rope_scaling", "rope_theta", "partial_rotary_factor"}
"""Of `rope_parameters`: transformers reads them."""


def read_settings(source: Path) -> dict[str, Any]:
    """The checkpoint's `config.json`, each setting known to be understood."""
    file = source / "config.json"
    if not file.is_file():
        raise FileNotFoundError(f"no {file}: expected the folder of a LLaVA checkpoint.")
    settings = read_json(file)
    kind = settings.get("model_type")
    if kind == "llava":
        raise ValueError(f"{file} is in transformers' layout already: nothing to convert.")
    if kind not in TEXT_MODELS:
        raise ValueError(
            f"{file} has model_type {kind!r}: expected one of {sorted(TEXT_MODELS)}, the "
            "original layouts whose language model and conversation are known."
        )
    _require_understood(settings, file)
    return settings


def _require_understood(settings: Mapping[str, Any], file: Path) -> None:
    defaults = {"mm_projector_type": "linear", "mm_vision_select_feature": "patch"}
    for name, accepted in UNDERSTOOD.items():
        value = settings.get(name, defaults.get(name))
        if value not in accepted:
            raise ValueError(
                f"{file}: {name} is {value!r}, expected {' or '.join(map(repr, accepted))}: "
                f"{WHY_REFUSED[name]}"
            )
    missing = sorted({"mm_vision_tower", "mm_vision_select_layer"} - settings.keys())
    if missing:
        raise ValueError(f"{file} lacks {', '.join(missing)}: it is not a whole LLaVA checkpoint.")
    known = READ_ELSEWHERE | WITHOUT_EFFECT | UNDERSTOOD.keys() | OLD_NAMES
    known |= TEXT_MODELS[settings["model_type"]]().to_dict().keys()
    unknown = {k: v for k, v in settings.items() if k not in known and v not in (None, False)}
    if unknown:
        raise ValueError(
            f"{file} has settings that the conversion does not know: {unknown}. They may change "
            "what the model computes; if you are sure that they do not, take them out."
        )


def text_config(settings: Mapping[str, Any], pad_token_id: int) -> PreTrainedConfig:
    """The language model alone, as transformers configures it."""
    kind = TEXT_MODELS[settings["model_type"]]
    names = (kind().to_dict().keys() | OLD_NAMES) - {"model_type", "architectures", "dtype"}
    config = kind.from_dict({k: v for k, v in settings.items() if k in names})
    config.pad_token_id = pad_token_id
    return config
