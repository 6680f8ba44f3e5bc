"""A tiny random model and processor of every family, by transformers' own classes.

Widths are small and weights large, so that a wrong mask, position or cap changes a residual by
percents. The vocabulary is the tiny world's; special tokens and templates are each family's.
"""

from collections.abc import Callable

import numpy as np
import torch
from families_llava import (
    llava,
    llava_gemma2,
    llava_granite,
    llava_mistral,
    llava_next,
    llava_onevision,
    llava_phi,
    llava_qwen,
    mistral3,
    pixtral,
)
from families_other import (
    gemma3,
    idefics3,
    internvl,
    paligemma,
    paligemma2,
    qwen2_5_vl,
    qwen3_vl,
    smolvlm,
)
from family_parts import N_LAYERS, WIDTH, Family
from PIL import Image
from transformers.utils import is_torchvision_available

from feature_atlas.vlm.residual_stream import freeze
from feature_atlas.vlm.token_roles import PromptBatch, encode_prompts

__all__ = [
    "FAMILIES", "N_LAYERS", "QUESTIONS", "SUFFIX", "TRIED", "WIDTH", "Family", "family", "prompts",
]  # fmt: skip

QUESTIONS = ["is the red circle left of the blue square", "how many ?"]
SUFFIX = "answer yes or no"

FAMILIES: dict[str, Callable[[], Family]] = {
    made.__name__: made
    for made in (
        llava, llava_mistral, llava_qwen, llava_phi, llava_gemma2, llava_granite, llava_next,
        llava_onevision, qwen2_5_vl, qwen3_vl, gemma3, paligemma, paligemma2, idefics3, smolvlm,
        internvl, mistral3, pixtral,
    )
}  # fmt: skip
OF_SIZED_PICTURES = ("mistral3", "pixtral")
"""Their processor needs torchvision; without it the models are tried on prompts made by hand."""
TRIED = [n for n in FAMILIES if is_torchvision_available() or n not in OF_SIZED_PICTURES]


def family(name: str, seed: int = 0) -> Family:
    """A family's model, random by a seed, frozen, in float32."""
    torch.manual_seed(seed)
    model, processor = FAMILIES[name]()
    for weight in model.parameters():
        if weight.ndim > 1 and not weight.any():  # as Gemma 3 begins: a picture would be nothing
            torch.nn.init.normal_(weight, std=0.3)
    return Family(freeze(model.float()), processor)


def prompts(made: Family) -> PromptBatch:
    """Two questions of different length about pictures of different shape."""
    noise = np.random.default_rng(0)
    sizes = ((40, 60, 3), (60, 40, 3))
    pictures = [Image.fromarray(noise.integers(0, 255, size, dtype=np.uint8)) for size in sizes]
    return encode_prompts(made.processor, QUESTIONS, pictures, suffix=SUFFIX)
