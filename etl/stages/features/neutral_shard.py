"""One shard of the neutral prompts: some pictures, all that is asked about them (paper 4.3).

Part of the stage `neutral_prompt`. What was asked and said is kept in main memory until the whole
shard has run; then each layer's dictionary comes to the device in its turn.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_atlas.dictionary.sae import Encoder
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.stages.features.neutral_evidence import IMAGES, LayerEvidence, Runs
from feature_atlas.etl.stages.features.neutral_runs import Pictures, neutral_runs
from feature_atlas.etl.study import Study
from feature_atlas.features.neutral_prompt import max_activation

N_PICTURES = 256
"""Of one shard."""


class Shard(NamedTuple):
    """What is asked about some pictures."""

    pictures: Int[Tensor, " picture"]
    """Their numbers, rising."""
    asked: Bool[Tensor, "prompt picture"]
    """Which prompts."""


class Kept(NamedTuple):
    """One prompt on one image, of the pictures that one layer's features need."""

    prompt: int
    image: int
    residual: Float[Tensor, "token d_model"]
    """In main memory."""
    place: Int[Tensor, " token"]
    """Of the token's picture in the shard."""


def shards(wanted: Int[Tensor, "run 2"], n_prompts: int) -> Iterator[Shard]:
    """Runs, each a prompt and a picture, by picture; the same runs are the same shards."""
    pictures, place = wanted[:, 1].unique(return_inverse=True)
    asked = torch.zeros(n_prompts, len(pictures), dtype=torch.bool)
    asked[wanted[:, 0], place] = True
    for first in range(0, len(pictures), N_PICTURES):
        part = slice(first, first + N_PICTURES)
        yield Shard(pictures[part], asked[:, part])


class KeptEncoders:
    """Of the text-adapted dictionaries: in main memory, and one on the device while it is used."""

    def __init__(self, study: Study) -> None:
        self.study, self.kept = study, dict[int, Encoder]()

    def on_device(self, layer: int) -> Encoder:
        """Of one layer; read when it is first asked for."""
        if layer not in self.kept:
            self.kept[layer] = Encoder.of(adapted_sae(self.study, "text", layer)).to("cpu")
        return self.kept[layer].to(self.study.config.device)


def run_shard(
    study: Study,
    prompts: Sequence[str],
    shard: Shard,
    evidence: Mapping[int, LayerEvidence],
    who: Mapping[int, Bool[Tensor, "prompt feature"]],
    encoders: KeptEncoders,
) -> dict[int, Runs]:
    """What a shard shows of every layer's features that still ask, `who`."""
    belongs = {layer: of_layer.has_top(shard.pictures) for layer, of_layer in evidence.items()}
    needs = {
        layer: shard.asked & (who[layer].float() @ belongs[layer].float() > 0) for layer in evidence
    }
    kept: dict[int, list[Kept]] = {layer: [] for layer in evidence}
    pictures = Pictures.of(study, shard.pictures.tolist())
    for prompt, image, places, tokens in neutral_runs(study, prompts, pictures, shard.asked):
        place_of = torch.tensor(places, device=tokens.prompt.device)[tokens.prompt]
        for layer in evidence:
            is_needed = needs[layer][prompt].to(place_of.device)[place_of]
            if is_needed.any():
                residual = tokens.residuals[layer][is_needed].cpu()
                kept[layer].append(Kept(prompt, image, residual, place_of[is_needed].cpu()))
    found = {}
    for layer, parts in kept.items():
        if parts:
            features = evidence[layer].features
            strongest = _strongest(encoders.on_device(layer), features, parts, shard.asked.shape)
            is_wanted = needs[layer][:, None] & who[layer][..., None] & belongs[layer]
            prompt, feature, place = is_wanted.nonzero(as_tuple=True)
            of_runs = strongest[:, prompt, place, feature].T
            found[layer] = Runs(prompt, shard.pictures[place], feature, of_runs)
    return found


def _strongest(
    encoder: Encoder, features: list[int], parts: Sequence[Kept], shape: Sequence[int]
) -> Float[Tensor, "image prompt picture feature"]:
    """Strongest activation of each feature in each run; 0 where none was kept."""
    device, (n_prompts, n_pictures) = encoder.bias.device, shape
    numbers = torch.tensor(features, device=device)
    strongest = torch.zeros(len(IMAGES), n_prompts, n_pictures, len(features))
    for prompt, image, residual, place in parts:
        codes = encoder.encode(residual.to(device))
        found = max_activation(codes, place.to(device), n_pictures, numbers).cpu()
        strongest[image, prompt] = strongest[image, prompt].maximum(found)
    return strongest
