"""What the model itself says to a prompt, as further tokens of that prompt."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from feature_atlas.vlm.image_features import accepted
from feature_atlas.vlm.prompt_keys import PromptKeys
from feature_atlas.vlm.token_roles import PromptBatch, Role


@torch.no_grad()
def with_reply(
    model: PreTrainedModel, batch: PromptBatch, n_tokens: int, keys: PromptKeys | None = None
) -> PromptBatch:
    """The prompts, each followed by the model's greedy reply with the role ANSWER.

    At most ``n_tokens`` are added; the end-of-sequence token and what follows it are not, and the
    token that stands for a picture is never among them. Later passes can then change the picture
    and keep the words. ``keys``, where there are some, are of what the prompts begin with.
    """
    prompt_ids, mask = (
        _padded_left(batch.input_ids, batch),
        _padded_left(batch.attention_mask, batch),
    )
    by_token, others = _by_token(batch)
    given = others | {name: _padded_left(types, batch) for name, types in by_token.items()}
    shown: dict[str, Any] = {**accepted(model.forward, given)}
    if batch.features is not None:
        shown.pop("pixel_values", None)
        shown["mm_encoder_outputs"] = {"image": batch.features.output}
    said = model.generate(
        input_ids=prompt_ids,
        attention_mask=mask,
        do_sample=False,
        max_new_tokens=n_tokens,
        suppress_tokens=_never_said(model),
        past_key_values=None if keys is None else keys.growing(),
        **shown,
    )
    reply = said[:, prompt_ids.shape[1] :]
    kept = _before_the_end(reply, model.generation_config.eos_token_id)
    ids = _appended(batch.input_ids, batch.attention_mask, reply, kept)
    answer = torch.full_like(reply, Role.ANSWER)
    roles = _appended(batch.roles, batch.attention_mask, answer, kept, Role.PAD)
    types = {
        name: _appended(known, batch.attention_mask, said, kept)
        for name, known, said in _types_of_reply(model, by_token, reply)
    }
    return PromptBatch(ids, (roles != Role.PAD).long(), roles, {**others, **types}, batch.features)


def _never_said(model: PreTrainedModel) -> list[int]:
    """The image token: in a reply it would ask later passes for a picture that is not there."""
    token = getattr(model.config, "image_token_id", None)
    given = model.generation_config.suppress_tokens or []
    return given if token is None else [*given, token]


def _by_token(batch: PromptBatch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What the processor says of every token, such as its type, and what it says of pictures."""
    by_token = {n: t for n, t in batch.processed.items() if t.shape == batch.input_ids.shape}
    return by_token, {n: t for n, t in batch.processed.items() if n not in by_token}


def _types_of_reply(
    model: PreTrainedModel,
    by_token: dict[str, Int[Tensor, "batch token"]],
    reply: Int[Tensor, "batch reply"],
) -> Iterator[tuple[str, Tensor, Int[Tensor, "batch reply"]]]:
    """The same of the reply's tokens, as the model's own generation has it for a further token."""
    further = model._update_model_kwargs_for_generation(ModelOutput(), dict(by_token))
    for name, known in by_token.items():
        yield name, known, further[name][:, -1:].expand_as(reply)


def _padded_left(
    by_token: Int[Tensor, "batch token"], batch: PromptBatch
) -> Int[Tensor, "batch token"]:
    """With the padding moved to the front, where generation wants it."""
    n_tokens = batch.input_ids.shape[1]
    n_padding = n_tokens - batch.attention_mask.sum(1, keepdim=True)
    source = (torch.arange(n_tokens, device=n_padding.device) - n_padding) % n_tokens
    return by_token.gather(1, source)


def _before_the_end(
    reply: Int[Tensor, "batch reply"], end: int | list[int] | None
) -> Bool[Tensor, "batch reply"]:
    if end is None:
        return torch.ones_like(reply, dtype=torch.bool)
    ends = torch.isin(reply, torch.tensor(end, device=reply.device))
    return ends.cumsum(1) == 0


def _appended(
    first: Int[Tensor, "batch token"],
    mask: Int[Tensor, "batch token"],
    then: Int[Tensor, "batch reply"],
    kept: Bool[Tensor, "batch reply"],
    padding: int = 0,
) -> Int[Tensor, "batch longer"]:
    """Row by row: the tokens under the mask, then those that are kept; padded on the right."""
    rows = [
        torch.cat([a[is_token == 1], b[is_kept]])
        for a, is_token, b, is_kept in zip(first, mask, then, kept, strict=True)
    ]
    return pad_sequence(rows, batch_first=True, padding_value=padding)
