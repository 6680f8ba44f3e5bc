"""Attribution patching of every head against exact patching of every head, same samples."""

import torch
from clock import medians, print_ratios

from feature_atlas.exact_patch import exact_patch_each
from feature_atlas.head_attribution import attribute_heads
from feature_atlas.toy.tokenizer import build_processor
from feature_atlas.toy.weights import vlm_path
from feature_atlas.vlm import TEXT_ROLES, encode_prompts, freeze, image_embeddings, input_embeddings

N_SAMPLES, LAYER = 8, 4


def main() -> None:
    """Print the ratios on the shipped tiny VLM."""
    import numpy as np
    from PIL import Image
    from transformers import LlavaForConditionalGeneration

    model = freeze(LlavaForConditionalGeneration.from_pretrained(vlm_path()))
    noise = np.random.default_rng(0).integers(0, 255, (N_SAMPLES, 64, 64, 3), dtype=np.uint8)
    batch = encode_prompts(
        build_processor(),
        ["Is the red circle above the blue square?"] * N_SAMPLES,
        [Image.fromarray(picture) for picture in noise],
    )
    with torch.no_grad():
        picture = image_embeddings(model, batch.pixel_values)
        clean = input_embeddings(model, batch, picture)
        corrupt = input_embeddings(model, batch, picture.mean(0, keepdim=True).expand_as(picture))
    text = torch.isin(batch.roles, torch.tensor(TEXT_ROLES))
    directions = torch.nn.functional.normalize(torch.randn(4, clean.shape[-1]), dim=-1)

    def attribution(n_features: int):
        return lambda: attribute_heads(
            model, clean, corrupt, batch.attention_mask, text, LAYER, directions[:n_features]
        )

    def exact() -> None:
        for part in ("q", "k"):
            exact_patch_each(
                model,
                clean,
                corrupt,
                batch.attention_mask,
                text,
                LAYER,
                directions[:1],
                parts=(part,),
            )

    contenders = {
        "methods A and B, one feature": attribution(1),
        "methods A and B, four features": attribution(4),
        "exact patching of q and k, one feature": exact,
    }
    title = f"{N_SAMPLES} samples, all heads of layers 0 to {LAYER}"
    print_ratios(title, medians(contenders, rounds=3), "methods A and B, one feature")


if __name__ == "__main__":
    main()
