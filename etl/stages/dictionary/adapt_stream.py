"""What the adaptation's regimes read: forward passes of a model over prompts or text (paper 4.1).

Samples are split by image, so that no picture both trains and judges. A stream has no end: each
epoch is shuffled anew, by a seed of its own, so that it can begin anywhere.
"""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from random import Random

from transformers import PreTrainedModel

from feature_atlas.dictionary.reconstruction import RoleSet, collect_held_out
from feature_atlas.etl.inputs.samples import Sample
from feature_atlas.etl.stages.dictionary.base_text import base_text_batches
from feature_atlas.etl.stages.dictionary.instruct import load_instruct
from feature_atlas.etl.study import Study
from feature_atlas.vlm.harvest import Tokens, harvest
from feature_atlas.vlm.token_roles import PromptBatch

STREAMS: dict[str, tuple[str, ...]] = {
    "prompts": ("text", "image", "full", "random"),
    "questions": ("language",),
    "base-text": ("refit",),
    "instruct": ("instruct",),
}
"""Regimes by the stream that feeds them: the VLM on prompts with pictures, the VLM on the same
prompts without, the base language model on plain text, an instruction-tuned one on the questions.
"""
SPLIT = "vqav2-train"


class ActivationStream:
    """The forward passes of one stream, for some layers."""

    def __init__(self, study: Study, stream: str, layers: Sequence[int]) -> None:
        if stream not in STREAMS:
            raise ValueError(f"stream {stream!r}; expected one of {', '.join(STREAMS)}.")
        self.study, self.stream, self.layers = study, stream, list(layers)
        self.model = _model(study, stream)

    def passes(self, n_skipped: int = 0) -> Iterator[Tokens]:
        """Training passes without end; the first ``n_skipped`` are not run."""
        if self.stream == "base-text":
            text = base_text_batches(self.study, "train")
            return self._harvested(islice(text, n_skipped, None))
        return self._harvested(self._epochs(n_skipped))

    def judge(self, role_sets: Sequence[RoleSet], n_tokens: int) -> Tokens:
        """Held-out tokens, at most ``n_tokens`` of each set of roles."""
        if self.stream == "base-text":
            batches = base_text_batches(self.study, "held_out")
        else:
            batches = self._prompts(held_out_split(self.study.samples[SPLIT])[1])
        return collect_held_out(self._harvested(batches), role_sets, n_tokens)

    def _epochs(self, n_skipped: int) -> Iterator[PromptBatch]:
        training, _ = held_out_split(self.study.samples[SPLIT])
        size = self.study.config.batch_size
        first, n_done = divmod(n_skipped, -(-len(training) // size))
        for epoch in count(first):
            order = list(training)
            Random(f"{self.study.config.seed}:{epoch}").shuffle(order)
            yield from self._prompts(order[n_done * size :])
            n_done = 0

    def _prompts(self, samples: Sequence[Sample]) -> Iterator[PromptBatch]:
        for batch, _ in self.study.prompts(samples, with_image=self.stream == "prompts"):
            yield batch

    def _harvested(self, batches: Iterator[PromptBatch]) -> Iterator[Tokens]:
        for batch in batches:
            yield harvest(self.model, batch, self.layers)


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


def _model(study: Study, stream: str) -> PreTrainedModel:
    """Whose activations the stream has."""
    if stream == "base-text":
        return study.base_model.model
    return load_instruct(study) if stream == "instruct" else study.vlm.model
