"""Prompts with their own picture and with none in particular, and what is asked of them (5.2, C).

Used by the stages `head_attribution`, `exact_patch` and `head_knockout`, which so agree on what a
corrupt run is.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from feature_atlas.dictionary.sae import Sae, unit_directions
from feature_atlas.etl.config.causes import Corruption
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.stages.dictionary.adapt import adapted_sae
from feature_atlas.etl.stages.heads.opposite_picture import opposite
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of, split_of
from feature_atlas.etl.study import Study
from feature_atlas.features.neutral_prompt import shuffled_samples
from feature_atlas.features.skill import QUESTION
from feature_atlas.heads.objective_positions import role_positions, strongest_positions
from feature_atlas.vlm.decoder_inputs import DecoderInputs, decoder_inputs
from feature_atlas.vlm.image_features import image_features
from feature_atlas.vlm.image_rows import ImageFeatures
from feature_atlas.vlm.token_roles import PromptBatch


class CleanAndCorrupt(NamedTuple):
    """Some prompts, with two pictures each."""

    numbers: list[int]
    """Local numbers of their samples."""
    batch: PromptBatch
    """The prompts themselves."""
    own: ImageFeatures
    """Of their pictures: the clean run."""
    other: ImageFeatures
    """What the corruption puts in their place: the corrupt run."""
    corruption: Corruption

    def clean(self, model: PreTrainedModel) -> DecoderInputs:
        """With their own picture."""
        return decoder_inputs(model, self.batch, self.own)

    def corrupt(self, model: PreTrainedModel) -> DecoderInputs:
        """With the other."""
        return decoder_inputs(model, self.batch, self.other)

    def both(self, model: PreTrainedModel) -> DecoderInputs:
        """The clean prompts and then the corrupt ones."""
        return decoder_inputs(model, self.batch.twice(), self.own.and_then(self.other))

    def between(self, model: PreTrainedModel, place: float) -> DecoderInputs:
        """With a picture on the straight way from the other (place 0) to their own (1)."""
        pairs = zip(self.other.levels, self.own.levels, strict=True)
        mixed = self.own.replaced(other + place * (own - other) for other, own in pairs)
        return decoder_inputs(model, self.batch, mixed)

    def swapped(self, model: PreTrainedModel) -> DecoderInputs:
        """The corrupt prompts and then the clean ones."""
        return decoder_inputs(model, self.batch.twice(), self.other.and_then(self.own))


class Aim(NamedTuple):
    """J_f of the features that are asked about: one per prompt and round."""

    positions: Bool[Tensor, "batch token"] | Bool[Tensor, "round batch token"]
    """Tokens over which the projection is summed."""
    directions: Float[Tensor, "round batch d_model"]
    """Unit decoder rows; zero where a prompt has no feature left in a round."""


@torch.no_grad()
def clean_and_corrupt(
    study: Study,
    numbers: Sequence[int],
    at_once: int,
    corruption: Corruption,
    wording: str = QUESTION,
) -> Iterator[CleanAndCorrupt]:
    """The samples of these local numbers, ``at_once`` or fewer at a time.

    Each has a picture to be put in its place (`with_other_picture`). ``wording`` stands around the
    question.
    """
    model = study.vlm.model
    for start in range(0, len(numbers), at_once):
        chosen = numbers[start : start + at_once]
        samples = [sample_of(study, number) for number in chosen]
        questions = [wording.replace(QUESTION, sample.question) for sample in samples]
        for batch, places in study.prompts(samples, questions=questions):
            here = [chosen[place] for place in places]
            own = image_features(model, batch)
            other = _in_place(study, corruption, here, batch, own)
            yield CleanAndCorrupt(here, batch, own, other, corruption)


def aim(
    study: Study,
    layer: int,
    features: Int[Tensor, "round batch"],
    roles: Int[Tensor, "batch token"],
    residual: Float[Tensor, "batch token d_model"],
) -> Aim:
    """What is asked of each prompt; -1: nothing. ``residual`` is the layer's, of the clean run."""
    config = study.config.head_attribution
    dictionary = _dictionary(study, layer)
    numbers = features.to(residual.device)
    directions = unit_directions(dictionary)[numbers.clamp_min(0)].to(residual)
    directions = directions * (numbers >= 0).unsqueeze(-1)
    positions = role_positions(roles, config.positions)
    if config.positions == "strongest":
        detectors = dictionary.w_enc.T[numbers.clamp_min(0)]
        positions = strongest_positions(residual, positions, detectors)
    return Aim(positions, directions)


def turns(
    prompts: CleanAndCorrupt, residual: Float[Tensor, "both token d_model"], of: Aim
) -> Float[Tensor, "round batch"]:
    """What scores and effects are multiplied by; ``residual`` is of the clean and corrupt runs.

    -1 where another answer raises J_f: a feature that says "left" goes down from a yes to a no, and
    up from a no to a yes, and what carries both would cancel in a mean over samples. So under
    `opposite` above 0 brings the feature to where its own picture has it. Otherwise 1.
    """
    n = len(prompts.numbers)
    ones = of.directions.new_ones(of.directions.shape[:2])
    if prompts.corruption != "opposite":
        return ones
    projected = torch.einsum("btd,rbd->rbt", residual[:n] - residual[n:], of.directions)
    is_raised = (projected * of.positions).sum(-1) < 0
    return torch.where(is_raised, -ones, ones)


def asked(study: Study) -> dict[str, object]:
    """What the rows of these stages hang on, for their parameters."""
    config = study.config.head_attribution
    return config.model_dump(include={"corruption", "positions", "direction", "n_mean_images"})


def _dictionary(study: Study, layer: int) -> Sae:
    if study.config.head_attribution.direction == "base":
        return study.base[layer]
    return adapted_sae(study, "text", layer)


def _in_place(
    study: Study,
    corruption: Corruption,
    numbers: Sequence[int],
    batch: PromptBatch,
    own: ImageFeatures,
) -> ImageFeatures:
    """What stands for each picture in the corrupt run."""
    mean = study.mean_image
    if corruption in ("resample", "opposite"):
        samples = [sample_of(study, number) for number in numbers]
        shown = [_other_sample(study, corruption, number) for number in numbers]
        others = [
            sample._replace(image=other.image) for sample, other in zip(samples, shown, strict=True)
        ]
        [(other, _)] = study.prompts(others, sized_like=samples)
        return image_features(study.vlm.model, other)
    if corruption == "global_mean":
        mean = mean.over_places()
    return mean.in_place_of(own, batch)


def _other_sample(study: Study, corruption: Corruption, number: int) -> Sample:
    """Whose picture is shown: with another answer, or any other of the split, chosen by hash."""
    if corruption == "opposite":
        found = opposite(study, number)
        if found is None:
            raise ValueError(
                f"sample {number} has no picture with the opposite answer: leave it out before "
                "(with_other_picture)."
            )
        return found.sample
    split = split_of(study, number)
    return study.samples[split][_other_rows(study, split)[number - study.first_number[split]]]


@lru_cache(maxsize=4)
def _other_rows(study: Study, split: str) -> list[int]:
    """For each row another one about another picture."""
    return [int(r) for r in shuffled_samples(study.image_numbers[split], study.config.seed)]
