"""The vision tower: what it is, how it wants its pictures, and its weights if they lie apart.

The original names its tower (`mm_vision_tower`) and never says how it is built. A folder says it,
and for the two towers of LLaVA-MORE's releases it is written down here.
"""

from pathlib import Path
from typing import Any, NamedTuple

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    CLIPVisionConfig,
    LlavaImageProcessorPil,
    PreTrainedConfig,
    SiglipVisionConfig,
)
from transformers.image_utils import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD

CLIP, SIGLIP = "clip_vision_model", "siglip_vision_model"


class VisionTower(NamedTuple):
    """A vision tower of the CLIP or SigLIP kind."""

    config: PreTrainedConfig
    """How it is built."""
    pictures: dict[str, Any]
    """How its image processor prepares a picture."""
    folder: Path | None
    """Where it lies, None if it is known by name alone."""
    remarks: tuple[str, ...] = ()
    """What is assumed of it."""

    @property
    def has_cls(self) -> bool:
        """Whether a CLS token comes before the patches."""
        return bool(self.config.model_type == CLIP)

    @property
    def n_patches(self) -> int:
        """Of one picture."""
        return int((self.config.image_size // self.config.patch_size) ** 2)


_KNOWN = {
    "openai/clip-vit-large-patch14-336": CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
        projection_dim=768,
    ),
    "google/siglip-so400m-patch14-384": SiglipVisionConfig(
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=27,
        num_attention_heads=16,
        image_size=384,
        patch_size=14,
    ),
}


def find_vision_tower(name: str, *, given: str | None, weights_needed: bool) -> VisionTower:
    """The tower given, or else the one named: a folder, a known name, or a hub id."""
    place = given or name
    if place in _KNOWN and not weights_needed and not Path(place).is_dir():
        return VisionTower(_KNOWN[place], _usual_pictures(_KNOWN[place]), None)
    folder = _folder(place, weights_needed)
    config = AutoConfig.from_pretrained(folder)
    config = getattr(config, "vision_config", config)
    if config.model_type not in (CLIP, SIGLIP):
        raise ValueError(
            f"the vision tower in {folder} is a {config.model_type}: expected {CLIP} or {SIGLIP}, "
            "the ones of LLaVA that transformers' Llava runs as the original does."
        )
    config.name_or_path = ""
    if (folder / "preprocessor_config.json").is_file():
        return VisionTower(config, _pictures(folder), folder)
    said = f"no preprocessor_config.json in {folder}: pictures are prepared as its kind does"
    return VisionTower(
        config, _usual_pictures(config), folder, (f"{said}, {config.image_size} wide.",)
    )


def _folder(place: str, weights_needed: bool) -> Path:
    folder = Path(place)
    if folder.is_dir():
        return folder
    advice = "name the tower's folder (or hub id) with --vision-tower"
    if folder.is_absolute() or place.count("/") != 1:
        raise FileNotFoundError(f"no vision tower at {place!r}: {advice}.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    weights = ["*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin*"]
    try:
        return Path(
            snapshot_download(
                place,
                allow_patterns=["*config.json", *(weights if weights_needed else [])],
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise FileNotFoundError(
            f"cannot get the vision tower {place!r} from the hub ({error}): download it where "
            f"there is a network, and {advice}."
        ) from error


def _usual_pictures(config: PreTrainedConfig) -> dict[str, Any]:
    """As OpenAI's CLIP and Google's SigLIP were trained: cropped, or squeezed into a square."""
    side = config.image_size
    square = {"height": side, "width": side}
    if config.model_type == CLIP:
        return {"size": {"shortest_edge": side}, "crop_size": square}
    mean, std = IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD
    return {"size": square, "do_center_crop": False, "image_mean": mean, "image_std": std}


def _pictures(folder: Path) -> dict[str, Any]:
    """As its own image processor prepares them."""
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    name = type(processor).__name__
    if not name.startswith(("CLIPImageProcessor", "SiglipImageProcessor")):
        raise ValueError(
            f"{folder / 'preprocessor_config.json'} is of a {name}: expected CLIP's or SigLIP's, "
            "which LLaVA trained with."
        )
    names = LlavaImageProcessorPil().to_dict().keys() - {"image_processor_type", "do_pad"}
    # crop_size is left at None by SigLIP's, which does not crop
    return {k: v for k, v in processor.to_dict().items() if k in names and v is not None} | {
        "do_center_crop": bool(processor.do_center_crop)
    }
