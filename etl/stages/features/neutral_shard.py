"""One shard of the neutral prompts: some pictures, all that is asked about them (paper 4.3).

Part of the stage `neutral_prompt`. What was asked and said is kept in main memory for a while; then
each layer's dictionary comes to the device in its turn.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.dictionary.sae import Encoder
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.stages.features.neutral_evidence import (
    IMAGES,
    Evidence,
    Runs,
    open_evidence,
)
from feature_atlas.etl.stages.features.neutral_runs import Pictures, neutral_runs
from feature_atlas.etl.study import Study, open_study
from feature_atlas.features.neutral_prompt import max_activation

N_PICTURES = 512
"""Of one shard."""
KEPT_BYTES = 8 * 2**30
"""Of residuals that wait for their dictionaries: each time all of these are read again."""


class Part(NamedTuple):
    """A shard: what is asked about some pictures."""

    pictures: list[int]
    """Their numbers, rising."""
    prompts: list[list[int]]
    """Numbers of the prompts about each."""


class Kept(NamedTuple):
    """One prompt on one image, of the pictures that one layer's features need."""

    prompt: int
    image: int
    residual: Float[Tensor, "token d_model"]
    """In main memory."""
    place: Int[Tensor, " token"]
    """Of the token's picture in the shard."""


def parts_of(wanted: Int[Tensor, "run 2"]) -> list[Part]:
    """Runs, each a prompt and a picture; the same runs are the same shards."""
    asked: dict[int, list[int]] = defaultdict(list)
    for prompt, picture in wanted.tolist():
        asked[picture].append(prompt)
    pictures = sorted(asked)
    few = (pictures[i : i + N_PICTURES] for i in range(0, len(pictures), N_PICTURES))
    return [Part(numbers, [sorted(asked[n]) for n in numbers]) for numbers in few]


def run_part(run: Path, part: Part) -> dict[int, Runs]:
    """What a shard shows of every layer's candidates."""
    study, part = open_study(run), Part(*part)
    evidence, pictures = _whom_to_ask(study), torch.tensor(part.pictures)
    asked = torch.zeros(len(evidence.prompts), len(pictures), dtype=torch.bool)
    for place, prompts in enumerate(part.prompts):
        asked[prompts, place] = True
    belongs = {layer: of.has_top(pictures) for layer, of in evidence.layers.items()}
    is_wanted = {
        layer: evidence.layers[layer].asked[..., None] & asked[:, None] & has_top
        for layer, has_top in belongs.items()
    }
    strongest = _asked_and_encoded(study, evidence, part, asked, is_wanted)
    return {
        layer: _rows(pictures, of_layer, strongest[layer])
        for layer, of_layer in is_wanted.items()
        if of_layer.any()
    }


@lru_cache(maxsize=1)
def _whom_to_ask(study: Study) -> Evidence:
    """To be read alone."""
    return open_evidence(study)


def _rows(
    pictures: Int[Tensor, " picture"],
    is_wanted: Bool[Tensor, "prompt feature picture"],
    strongest: Float[Tensor, "image prompt picture feature"],
) -> Runs:
    prompt, feature, place = is_wanted.nonzero(as_tuple=True)
    return Runs(prompt, pictures[place], feature, strongest[:, prompt, place, feature].T)


def _asked_and_encoded(
    study: Study,
    evidence: Evidence,
    part: Part,
    asked: Bool[Tensor, "prompt picture"],
    is_wanted: dict[int, Bool[Tensor, "prompt feature picture"]],
) -> dict[int, Float[Tensor, "image prompt picture feature"]]:
    """Strongest activations of each layer's candidates; 0 where a layer has no need of a run."""
    features = {layer: of_layer.features for layer, of_layer in evidence.layers.items()}
    strongest = {
        layer: torch.zeros(len(IMAGES), *asked.shape, len(of_layer))
        for layer, of_layer in features.items()
    }
    is_needed = {layer: of_layer.any(1) for layer, of_layer in is_wanted.items()}
    waiting: dict[int, list[Kept]] = defaultdict(list)
    n_bytes = 0
    pictures = Pictures.of(study, part.pictures)
    for prompt, image, places, tokens in neutral_runs(study, evidence.prompts, pictures, asked):
        place = torch.tensor(places, device=tokens.prompt.device)[tokens.prompt]
        for layer, of_layer in is_needed.items():
            here = of_layer[prompt].to(place.device)[place]
            if here.any():
                kept = Kept(prompt, image, tokens.residuals[layer][here].cpu(), place[here].cpu())
                waiting[layer].append(kept)
                n_bytes += kept.residual.nbytes
        if n_bytes > KEPT_BYTES:
            _encode(study, waiting, features, strongest)
            n_bytes = 0
    _encode(study, waiting, features, strongest)
    return strongest


def _encode(
    study: Study,
    waiting: dict[int, list[Kept]],
    features: dict[int, list[int]],
    strongest: dict[int, Float[Tensor, "image prompt picture feature"]],
) -> None:
    """What waited waits no more."""
    for layer in sorted(waiting):
        encoder = Encoder.of(adapted_sae(study, "text", layer))
        for prompt, image, found in _strongest(
            encoder, features[layer], waiting.pop(layer), strongest[layer].shape[2]
        ):
            known = strongest[layer][image, prompt]
            torch.maximum(known, found, out=known)


def _strongest(
    encoder: Encoder, features: list[int], parts: Sequence[Kept], n_pictures: int
) -> Iterator[tuple[int, int, Float[Tensor, "picture feature"]]]:
    """Of each prompt and image, the strongest activation on each picture; 0 on others."""
    device = encoder.bias.device
    numbers = torch.tensor(features, device=device)
    for prompt, image, residual, place in parts:
        codes = encoder.encode(residual.to(device))
        yield prompt, image, max_activation(codes, place.to(device), n_pictures, numbers).cpu()
