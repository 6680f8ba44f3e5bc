"""Prompts as the text model takes them, kept for the next layer while they take little memory.

Every layer asks the same questions again, and to read, crop and embed their pictures takes longer
than a small model's answer.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.utils._pytree import tree_flatten

from feature_atlas.etl.stages.vlm.numbered_sample import sample_of
from feature_atlas.etl.study import Study
from feature_atlas.vlm.decoder_inputs import DecoderInputs, decoder_inputs
from feature_atlas.vlm.token_roles import TEXT_ROLES, PromptBatch

KEPT_BYTES = 2**29
"""Of all kept prompts together; a large model's are read again."""


class EmbeddedPrompts(NamedTuple):
    """One batch of questions with their pictures."""

    batch: PromptBatch
    """The prompts themselves."""
    inputs: DecoderInputs
    """With their pictures, as the text model takes them."""
    text_mask: Bool[Tensor, "sample token"]
    """Where text depends on the sample: question, suffix, header."""

    @property
    def n_bytes(self) -> int:
        """Memory of its tensors."""
        tensors, _ = tree_flatten(tuple(self))
        return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor))


class PromptShelf:
    """The last batches asked for, as many as fit."""

    def __init__(self, study: Study, kept_bytes: int = KEPT_BYTES) -> None:
        self.study, self.kept_bytes = study, kept_bytes
        self.kept: dict[tuple[int, ...], EmbeddedPrompts] = {}

    def batches(self, numbers: tuple[int, ...]) -> Iterator[EmbeddedPrompts]:
        """The samples of these local numbers, in order, `batch_size` at a time."""
        step = self.study.config.batch_size
        for start in range(0, len(numbers), step):
            chosen = numbers[start : start + step]
            if chosen not in self.kept:
                self._keep(chosen, self._embed(chosen))
            yield self.kept[chosen]

    def _keep(self, chosen: tuple[int, ...], batch: EmbeddedPrompts) -> None:
        """The newest is always kept; the oldest go."""
        self.kept[chosen] = batch
        while len(self.kept) > 1 and sum(b.n_bytes for b in self.kept.values()) > self.kept_bytes:
            del self.kept[next(iter(self.kept))]

    @torch.no_grad()
    def _embed(self, chosen: tuple[int, ...]) -> EmbeddedPrompts:
        model = self.study.vlm.model
        ((batch, _),) = self.study.prompts([sample_of(self.study, n) for n in chosen])
        text_roles = torch.tensor(TEXT_ROLES, device=batch.roles.device)
        is_text = torch.isin(batch.roles, text_roles)
        return EmbeddedPrompts(batch, decoder_inputs(model, batch), is_text)
