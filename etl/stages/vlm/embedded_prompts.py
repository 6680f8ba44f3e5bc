"""Prompts as the text model takes them, with the tokens that an edit of their text may change."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.study import Study
from feature_atlas.vlm.decoder_inputs import DecoderInputs, decoder_inputs
from feature_atlas.vlm.image_features import MeanImage
from feature_atlas.vlm.token_roles import TEXT_ROLES, PromptBatch


class EmbeddedPrompts(NamedTuple):
    """One batch of questions with their pictures."""

    batch: PromptBatch
    """The prompts themselves."""
    inputs: DecoderInputs
    """With their pictures, as the text model takes them."""
    text_mask: Bool[Tensor, "sample token"]
    """Where text depends on the sample: question, suffix, header."""
    places: list[int]
    """Of its samples, among those asked about."""


def embedded_prompts(
    study: Study, numbers: Sequence[int], image: MeanImage | None = None
) -> Iterator[EmbeddedPrompts]:
    """The samples of these local numbers, in order; ``image`` in the place of their pictures."""
    yield from embedded(study, [sample_of(study, number) for number in numbers], image=image)


def embedded(
    study: Study,
    samples: Sequence[Sample],
    questions: Sequence[str] | None = None,
    image: MeanImage | None = None,
) -> Iterator[EmbeddedPrompts]:
    """These samples, in order; other questions, or one picture, in the place of their own."""
    text_roles = torch.tensor(TEXT_ROLES, device=study.config.device)
    for batch, places in study.prompts(samples, questions=questions, image=image):
        with torch.no_grad():
            inputs = decoder_inputs(study.vlm.model, batch)
        yield EmbeddedPrompts(batch, inputs, torch.isin(batch.roles, text_roles), places)
