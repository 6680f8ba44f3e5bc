"""Whether a set of SAEs can be read and fits the model, without loading the model's weights."""

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel

from feature_atlas.etl.config.inputs import SaeConfig, VlmConfig
from feature_atlas.etl.inputs.checkpoints import vlm_folder
from feature_atlas.etl.inputs.saes import load_base_saes


def model_skeleton(config: VlmConfig) -> PreTrainedModel:
    """The model's shapes, on no device."""
    settings = AutoConfig.from_pretrained(vlm_folder(config))
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(settings)


def require_fit(config: SaeConfig, skeleton: PreTrainedModel) -> None:
    """Raise what `build` would raise: truncated, not finite, too wide; one layer in memory."""
    sizes = set()
    for layer in config.layers:
        alone = config.model_copy(update={"layers": (layer,)})
        (sae,) = load_base_saes(alone, skeleton, "cpu").values()
        sizes.add(len(sae.w_dec))
    if len(sizes) != 1:
        raise ValueError(f"base SAEs have {sorted(sizes)} features: expected one size for all.")
