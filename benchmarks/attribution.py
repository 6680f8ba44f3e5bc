"""Attribution patching of every head against exact patching of every head, same samples.

Methods A and B estimate what swapping the queries, and the keys, of a head does, both ways: the
corrupt run's put into the clean run and the reverse. So the referee swaps both, both ways.
"""

import statistics
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from clock import each_round, print_paired_ratios
from PIL import Image
from transformers import LlavaForConditionalGeneration, PreTrainedModel

from feature_atlas.heads.exact_patch import exact_patch_each
from feature_atlas.heads.head_attribution import attribute_heads
from feature_atlas.toy.tokenizer import build_processor
from feature_atlas.toy.weights import vlm_path
from feature_atlas.vlm.decoder_inputs import DecoderInputs, decoder_inputs
from feature_atlas.vlm.image_features import image_features, mean_image
from feature_atlas.vlm.residual_stream import freeze
from feature_atlas.vlm.token_roles import TEXT_ROLES, encode_prompts

N_SAMPLES, LAYER, ROUNDS = 8, 4, 9
N_MORE = 7
"""Features beyond the first, for the cost of one more."""


def main() -> None:
    """Print the ratios on the shipped tiny VLM, on one thread: it is too small for more."""
    torch.set_num_threads(1)
    model = freeze(LlavaForConditionalGeneration.from_pretrained(vlm_path()))
    runs = _runs(model)
    directions = torch.nn.functional.normalize(
        torch.randn(1 + N_MORE, runs.both.embeds.shape[-1]), dim=-1
    )
    one, many = "methods A and B, one feature", f"methods A and B, {1 + N_MORE} features"
    exact = "exact patching of q and of k, both ways"
    seconds = each_round(
        {
            one: lambda: attribute_heads(model, runs.both, runs.text, LAYER, directions[:1]),
            many: lambda: attribute_heads(model, runs.both, runs.text, LAYER, directions),
            exact: _exact(model, runs, directions[:1]),
        },
        rounds=ROUNDS,
    )
    print_paired_ratios(f"{N_SAMPLES} samples, all heads of layers 0 to {LAYER}", seconds, one)
    extra = [(m - o) / N_MORE / o for o, m in zip(seconds[one], seconds[many], strict=True)]
    print(f"  one more feature of the same samples {statistics.median(extra):27.3f} x")


class Runs(NamedTuple):
    """Some prompts with their picture and with the mean of all."""

    clean: DecoderInputs
    corrupt: DecoderInputs
    both: DecoderInputs
    text: torch.Tensor


def _runs(model: PreTrainedModel) -> Runs:
    """Clean and corrupt runs and text positions of some prompts."""
    noise = np.random.default_rng(0).integers(0, 255, (N_SAMPLES, 64, 64, 3), dtype=np.uint8)
    batch = encode_prompts(
        build_processor(),
        ["Is the red circle above the blue square?"] * N_SAMPLES,
        [Image.fromarray(picture) for picture in noise],
    )
    with torch.no_grad():
        own = image_features(model, batch)
        other = mean_image(model, [batch]).in_place_of(own, batch)
        clean, corrupt = decoder_inputs(model, batch), decoder_inputs(model, batch, other)
        both = decoder_inputs(model, batch.twice(), own.and_then(other))
    text = torch.isin(batch.roles, torch.tensor(TEXT_ROLES))
    return Runs(clean, corrupt, both, text)


def _exact(model: PreTrainedModel, runs: Runs, directions: torch.Tensor) -> Callable[[], None]:
    def patch() -> None:
        for inputs, donor in ((runs.clean, runs.corrupt), (runs.corrupt, runs.clean)):
            for part in ("q", "k"):
                exact_patch_each(model, inputs, donor, runs.text, LAYER, directions, parts=(part,))

    return patch


if __name__ == "__main__":
    main()
