"""One neutral prompt on the top samples of chosen features, on three pictures each (paper 4.3).

Part of the stage `neutral_prompt`: the sample's own picture, the mean image, and the picture of
another sample, under the same words.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from rich.progress import track
from torch import Tensor

from feature_atlas.dictionary.sae import Encoder
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.stages.features.harvest_sums import read_sums
from feature_atlas.etl.stages.features.skills import BASE
from feature_atlas.etl.study import Study
from feature_atlas.features.neutral_prompt import NeutralCounts, max_activation, shuffled_samples
from feature_atlas.vlm.harvest import Tokens, harvest
from feature_atlas.vlm.image_features import image_features
from feature_atlas.vlm.reply import with_reply
from feature_atlas.vlm.token_roles import TEXT_ROLES, PromptBatch, Role

ASKED_AND_SAID = (*TEXT_ROLES, Role.ANSWER)


class Counted(NamedTuple):
    """What one prompt showed of the chosen features of one layer."""

    layer: int
    """Of all of them."""
    features: list[int]
    """Numbers of the features, rising."""
    counts: NeutralCounts
    """Their counts, in this order."""

    def of(self, features: list[int]) -> NeutralCounts:
        """The counts of some of them."""
        return self.counts.only([self.features.index(feature) for feature in features])


@torch.no_grad()
def count_prompt(study: Study, prompt: str, chosen: dict[int, list[int]]) -> dict[int, Counted]:
    """Ask one neutral prompt about every top sample of every chosen feature."""
    counted = {i: Counted(i, f, NeutralCounts.empty(len(f))) for i, f in chosen.items()}
    encoders = {layer: Encoder.of(adapted_sae(study, "text", layer)) for layer in chosen}
    top = {layer: _top_rows(study, layer, features) for layer, features in chosen.items()}
    wanted = sorted({row for rows in top.values() for row in rows.flatten().tolist() if row >= 0})
    for batch, other, positions in _batches(study, prompt, wanted):
        rows = torch.tensor([wanted[p] for p in positions])
        runs = _on_three_images(study, batch, other, sorted(chosen))
        is_top = {layer: (top[layer].T[None] == rows[:, None, None]).any(1) for layer in chosen}
        for layer in chosen:
            _count(counted[layer], encoders[layer], runs, is_top[layer])
    return counted


def _count(
    of_layer: Counted, encoder: Encoder, runs: list[Tokens], is_top: Bool[Tensor, "sample feature"]
) -> None:
    """What became of one layer's features in the three runs of some samples.

    Only samples that are a top one of some feature of this layer are encoded.
    """
    device = runs[0].prompt.device
    numbers = torch.tensor(of_layer.features, device=device)
    is_asked = is_top.any(1).to(device)

    def strongest(run: Tokens) -> Float[Tensor, "sample feature"]:
        here = is_asked[run.prompt]
        codes = encoder.encode(run.residuals[of_layer.layer][here])
        return max_activation(codes, run.prompt[here], len(is_asked), numbers).cpu()

    real, mean, shuffled = map(strongest, runs)
    of_layer.counts.add(real, mean, shuffled, is_top)


def _batches(
    study: Study, prompt: str, wanted: list[int]
) -> Iterator[tuple[PromptBatch, PromptBatch, list[int]]]:
    """The prompt about each sample, the same about its shuffled picture, and their places."""
    base = study.samples[BASE]
    others = shuffled_samples(study.image_numbers[BASE], study.config.seed)[wanted].tolist()
    samples = [base[row] for row in wanted]
    swapped = [
        base[row]._replace(image=base[o].image) for row, o in zip(wanted, others, strict=True)
    ]
    questions = [prompt] * len(wanted)
    n_batches = -(-len(wanted) // study.config.batch_size)
    both = zip(
        study.prompts(samples, questions=questions),
        study.prompts(swapped, questions=questions, sized_like=samples),
        strict=True,
    )
    for (batch, places), (other, _) in track(
        both, f"neutral prompt: {prompt[:30]}", total=n_batches
    ):
        yield batch, other, places


def _on_three_images(
    study: Study, batch: PromptBatch, other: PromptBatch, layers: list[int]
) -> list[Tokens]:
    """Prompt and reply on the picture, on the mean image and on the shuffled one."""
    model = study.vlm.model
    said = with_reply(model, batch, study.config.neutral.n_reply_tokens)
    own = image_features(model, batch)
    mean = study.mean_image.in_place_of(own, batch)
    return [
        harvest(model, said, layers, image=image).only(ASKED_AND_SAID)
        for image in (own, mean, image_features(model, other))
    ]


def _top_rows(study: Study, layer: int, features: list[int]) -> torch.Tensor:
    """Rows of the base split on which each feature is most active, [feature, n_samples]."""
    samples = read_sums(study, layer).examples["vqav2"].samples[features]
    first = study.first_number[BASE]
    rows = torch.where(samples >= 0, samples - first, -1)
    return rows[:, : study.config.neutral.n_samples]
