"""Keys and values of what prompts begin with, computed once for all that is asked about it.

A picture stands before its question, and no token sees a later one: whatever is asked, the text
model remembers the same of template and picture. So one run as far as the question serves all
questions and replies about the picture, and each of these costs its own tokens alone.

Families in which pictures look at the question, positions have axes, or memory slides are not
served: there prompts run whole. Rounding differs from a whole run as between two batch sizes.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from feature_atlas.vlm.decoder_inputs import DecoderInputs, decoder_inputs, text_model
from feature_atlas.vlm.token_roles import PromptBatch, Role


class PromptKeys(NamedTuple):
    """Of some prompts that begin with the same tokens, each with a picture of its own."""

    ids: Int[Tensor, " start"]
    """These tokens."""
    roles: Int[Tensor, " start"]
    """A Role for each."""
    layers: tuple[tuple[Float[Tensor, "prompt head start d_head"], Tensor], ...]
    """Keys and values of each layer."""
    rows: Int[Tensor, " row"] | None = None
    """Which of these prompts are meant, in which order, some perhaps often; None: each once."""

    @classmethod
    def joined(cls, parts: list["PromptKeys"]) -> "PromptKeys":
        """Several batches that begin alike, one after another.

        They are taken out of the list, layer by layer: memory for both would not be there.
        """
        first, stacks = parts[0]._replace(layers=()), [list(part.layers[::-1]) for part in parts]
        parts.clear()
        layers = []
        while stacks[0]:
            of_layer = zip(*(stack.pop() for stack in stacks), strict=True)
            keys, values = (torch.cat(batches) for batches in of_layer)
            layers.append((keys, values))
        return first._replace(layers=tuple(layers))

    def of(self, rows: Int[Tensor, " row"]) -> "PromptKeys":
        """Those of some prompts; takes no memory."""
        return self._replace(rows=rows if self.rows is None else self.rows[rows])

    @property
    def n_prompts(self) -> int:
        """That are meant."""
        return len(self.layers[0][0] if self.rows is None else self.rows)

    @property
    def n_bytes(self) -> int:
        """Memory of keys and values."""
        return sum(k.nbytes + v.nbytes for k, v in self.layers)

    def followed_by(self, question: PromptBatch) -> PromptBatch | None:
        """Each of these with the question of one prompt; None: that begins with other tokens."""
        if not torch.equal(question.input_ids[0, : len(self.ids)], self.ids):
            return None
        shape = (self.n_prompts, -1)
        ids, roles = (t[:1].expand(shape) for t in (question.input_ids, question.roles))
        return PromptBatch(ids, torch.ones_like(ids), roles)

    def growing(self) -> DynamicCache:
        """A memory that begins with these, and keeps what is added to it."""
        return self._memory(keeps=True)

    def inputs(self, model: PreTrainedModel, batch: PromptBatch) -> DecoderInputs:
        """What follows these beginnings, as the text model takes it."""
        start = len(self.ids)
        embeds = model.get_input_embeddings()(batch.input_ids[:, start:])
        further = {
            "attention_mask": batch.attention_mask,
            "past_key_values": self._memory(keeps=False),
        }
        return DecoderInputs(embeds, batch.attention_mask[:, start:], further)

    def _memory(self, *, keeps: bool) -> DynamicCache:
        memory = DynamicCache()
        memory.layers = [_Begun(keys, values, self.rows, keeps) for keys, values in self.layers]
        return memory


class _Begun(DynamicLayer):
    """Shows what is added to it behind what it began with; only one layer at once is copied."""

    def __init__(self, keys: Tensor, values: Tensor, rows: Tensor | None, keeps: bool) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values, self.rows, self.keeps = keys, values, rows, keeps

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_given: object
    ) -> tuple[Tensor, Tensor]:
        keys, values = (
            torch.cat([begun if self.rows is None else begun[self.rows], added], dim=-2)
            for begun, added in ((self.keys, key_states), (self.values, value_states))
        )
        if self.keeps:
            self.keys, self.values, self.rows = keys, values, None
        return keys, values


@torch.no_grad()
def prompt_keys(model: PreTrainedModel, batch: PromptBatch) -> PromptKeys | None:
    """Of a batch's prompts, as far as the question; None: these must run whole."""
    inputs = decoder_inputs(model, batch)
    start, cache = _start(model, batch, inputs), DynamicCache(config=text_model(model).config)
    if start is None or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    embeds = inputs.embeds[:, :start]
    text_model(model)(inputs_embeds=embeds, past_key_values=cache, use_cache=True)
    layers = tuple((layer.keys, layer.values) for layer in cache.layers)
    return PromptKeys(batch.input_ids[0, :start], batch.roles[0, :start], layers)


def _start(model: PreTrainedModel, batch: PromptBatch, inputs: DecoderInputs) -> int | None:
    """Where the question begins, if all prompts are alike before it and nothing looks ahead."""
    mask = inputs.further.get("attention_mask")
    if set(inputs.further) != {"attention_mask"} or not isinstance(mask, Tensor) or mask.ndim != 2:
        return None
    start = int((batch.roles[0] == Role.QUESTION).int().argmax())
    before, after = batch.input_ids[:, :start], batch.input_ids[:, start:]
    is_alike = mask[:, :start].all() and (before == before[0]).all()
    if start == 0 or not is_alike or (batch.roles[:, start:] == Role.IMAGE).any():
        return None
    plain = model.get_input_embeddings()(after)
    return start if torch.equal(plain, inputs.embeds[:, start:]) else None
