"""What the adaptation's regimes read: forward passes of a model over prompts or text (paper 4.1).

Samples are split by image, so that no picture both trains and judges. What trains is numbered; a
training goes over it in epochs, each shuffled anew by a seed of its own. The model sees it once,
in the order of the first epoch of the first seed; other seeds take the same tokens in another.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count, islice
from random import Random
from typing import NamedTuple

from transformers import PreTrainedModel

from feature_atlas.dictionary.adapt import REGIME_ROLES
from feature_atlas.dictionary.reconstruction import RoleSet
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.stages.dictionary.base_text import base_text_batches, text_epoch
from feature_atlas.etl.stages.dictionary.instruct import load_instruct
from feature_atlas.etl.study import Study
from feature_atlas.vlm.token_roles import TEXT_ROLES, PromptBatch, Role

STREAMS: dict[str, tuple[str, ...]] = {
    "prompts": ("text",),
    "pictures": ("image", "full", "random"),
    "questions": ("language",),
    "base-text": ("refit",),
    "instruct": ("instruct",),
}
"""Regimes by the stream that feeds them: the VLM on prompts with pictures, of which the text alone
is kept of many, or everything of a few; the VLM on the same prompts without; the base language
model on plain text; an instruction-tuned one on the questions.
"""
REPEATED = ("text", "language", "refit")
"""Regimes that train in every order of `adapt.seeds`: what decides whether vision turned a feature.
The others train in the first."""
WITH_PICTURES = ("prompts", "pictures")
"""Streams whose prompts have them."""
SPLIT = "vqav2-train"


class TrainingPass(NamedTuple):
    """One forward pass of what trains."""

    numbers: list[int]
    """Of its prompts or documents."""
    batch: PromptBatch
    """Their tokens."""


class ActivationStream:
    """The forward passes of one stream."""

    def __init__(self, study: Study, stream: str) -> None:
        if stream not in STREAMS:
            raise ValueError(f"stream {stream!r}; expected one of {', '.join(STREAMS)}.")
        self.study, self.stream = study, stream
        self.regimes = [r for r in study.config.adapt.regimes if r in STREAMS[stream]]

    def __len__(self) -> int:
        """Prompts (or documents) of an epoch."""
        return len(self._epoch(0))

    @property
    def roles(self) -> RoleSet:
        """All that train in some regime."""
        return tuple(dict.fromkeys(role for r in self.regimes for role in REGIME_ROLES[r]))

    @property
    def judged_roles(self) -> list[RoleSet]:
        """Of each there are to be enough tokens that judge, whichever regimes are trained."""
        has_pictures = self.stream in WITH_PICTURES
        return [TEXT_ROLES, (Role.IMAGE,)] if has_pictures else [TEXT_ROLES]

    def load_model(self) -> PreTrainedModel:
        """Whose activations the stream has."""
        if self.stream == "base-text":
            return self.study.base_model.model
        return load_instruct(self.study) if self.stream == "instruct" else self.study.vlm.model

    def release_model(self) -> None:
        """No other stage asks for the base model after this."""
        if self.stream == "base-text":
            self.study.drop("base_model")

    def passes(self, n_skipped: int = 0) -> Iterator[TrainingPass]:
        """All that trains, once; the first ``n_skipped`` passes are left out."""
        size = self.study.batch_size
        order = self._epoch(0)[n_skipped * size :]
        starts = range(0, len(order), size)
        for start, batch in zip(starts, self._training(order), strict=True):
            yield TrainingPass(list(order[start : start + size]), batch)

    def held_out(self) -> Iterator[PromptBatch]:
        """What judges."""
        if self.stream == "base-text":
            return base_text_batches(self.study, "held_out")
        return self._prompts(held_out_split(self.study.samples[SPLIT])[1])

    def order(self, seed_no: int = 0, kept: Iterable[int] | None = None) -> Iterator[list[int]]:
        """The numbers of every pass of a training, epoch after epoch without end.

        ``kept`` are those that there are: where the first order needed fewer than all, every other
        one has the same.
        """
        size, there = self.study.batch_size, None if kept is None else frozenset(kept)

        def epoch_of(number: int) -> list[int]:
            order = self._epoch(number, seed_no)
            return order if there is None else [one for one in order if one in there]

        if self.stream == "base-text":  # batches go on over the end of an epoch
            numbers = chain.from_iterable(epoch_of(epoch) for epoch in count())
            while True:
                yield list(islice(numbers, size))
        for epoch in count():
            order = epoch_of(epoch)
            yield from (order[i : i + size] for i in range(0, len(order), size))

    def _epoch(self, epoch: int, seed_no: int = 0) -> list[int]:
        if self.stream == "base-text":
            shuffled: list[int] = text_epoch(self.study, epoch, seed_no).tolist()
            return shuffled
        order = list(range(len(held_out_split(self.study.samples[SPLIT])[0])))
        Random(f"{self.study.config.order_seeds[seed_no]}:{epoch}").shuffle(order)
        return order

    def _training(self, numbers: Sequence[int]) -> Iterator[PromptBatch]:
        if self.stream == "base-text":
            return base_text_batches(self.study, "train", numbers)
        training, _ = held_out_split(self.study.samples[SPLIT])
        return self._prompts([training[number] for number in numbers])

    def _prompts(self, samples: Sequence[Sample]) -> Iterator[PromptBatch]:
        with_image = self.stream in WITH_PICTURES
        return (batch for batch, _ in self.study.prompts(samples, with_image=with_image))


def held_out_split(samples: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Training and held-out samples; a tenth of the images, so that no picture is in both."""
    images = sorted({s.image for s in samples})
    held = set(images[:: max(len(images) // max(len(images) // 10, 1), 1)])
    training = [s for s in samples if s.image not in held]
    if not training:
        raise ValueError(
            f"{len(samples)} adaptation samples of {len(images)} pictures: expected at least two "
            "pictures, one to train on and one held out (data.n_adapt)."
        )
    return training, [s for s in samples if s.image in held]
