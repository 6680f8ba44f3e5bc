"""Attribution patching of every head against exact patching of every head, same samples.

Methods A and B estimate what swapping the queries, and the keys, of a head does, both ways: the
corrupt run's put into the clean run and the reverse. So the referee swaps both, both ways.
"""

import statistics
from collections.abc import Callable

import numpy as np
import torch
from clock import each_round, print_paired_ratios
from PIL import Image
from transformers import LlavaForConditionalGeneration, PreTrainedModel

from feature_atlas.heads.exact_patch import exact_patch_each
from feature_atlas.heads.head_attribution import attribute_heads
from feature_atlas.toy.tokenizer import build_processor
from feature_atlas.toy.weights import vlm_path
from feature_atlas.vlm.residual_stream import freeze, image_embeddings, input_embeddings
from feature_atlas.vlm.token_roles import TEXT_ROLES, encode_prompts

N_SAMPLES, LAYER, ROUNDS = 8, 4, 9
N_MORE = 7
"""Features beyond the first, for the cost of one more."""


def main() -> None:
    """Print the ratios on the shipped tiny VLM, on one thread: it is too small for more."""
    torch.set_num_threads(1)
    model = freeze(LlavaForConditionalGeneration.from_pretrained(vlm_path()))
    runs = _runs(model)
    directions = torch.nn.functional.normalize(torch.randn(1 + N_MORE, runs[0].shape[-1]), dim=-1)
    one, many = "methods A and B, one feature", f"methods A and B, {1 + N_MORE} features"
    exact = "exact patching of q and of k, both ways"
    seconds = each_round(
        {
            one: lambda: attribute_heads(model, *runs, LAYER, directions[:1]),
            many: lambda: attribute_heads(model, *runs, LAYER, directions),
            exact: _exact(model, runs, directions[:1]),
        },
        rounds=ROUNDS,
    )
    print_paired_ratios(f"{N_SAMPLES} samples, all heads of layers 0 to {LAYER}", seconds, one)
    extra = [(m - o) / N_MORE / o for o, m in zip(seconds[one], seconds[many], strict=True)]
    print(f"  one more feature of the same samples {statistics.median(extra):27.3f} x")


def _runs(model: PreTrainedModel) -> tuple[torch.Tensor, ...]:
    """Clean and corrupt embeddings, mask and text positions of some prompts."""
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
    return clean, corrupt, batch.attention_mask, text


def _exact(
    model: PreTrainedModel, runs: tuple[torch.Tensor, ...], directions: torch.Tensor
) -> Callable[[], None]:
    clean, corrupt, mask, text = runs

    def patch() -> None:
        for embeds, donor in ((clean, corrupt), (corrupt, clean)):
            for part in ("q", "k"):
                exact_patch_each(model, embeds, donor, mask, text, LAYER, directions, parts=(part,))

    return patch


if __name__ == "__main__":
    main()
