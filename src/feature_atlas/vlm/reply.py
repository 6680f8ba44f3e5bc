"""What the model itself says to a prompt, as further tokens of that prompt."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from feature_atlas.vlm.token_roles import PromptBatch, Role


@torch.no_grad()
def with_reply(model: PreTrainedModel, batch: PromptBatch, n_tokens: int) -> PromptBatch:
    """The prompts, each followed by the model's greedy reply with the role ANSWER.

    At most ``n_tokens`` are added; the end-of-sequence token and what follows it are not. Later
    passes can then change the picture and keep the words.
    """
    prompt_ids, mask = _padded_left(batch)
    said = model.generate(
        input_ids=prompt_ids,
        attention_mask=mask,
        pixel_values=batch.pixel_values,
        do_sample=False,
        max_new_tokens=n_tokens,
    )
    reply = said[:, prompt_ids.shape[1] :]
    kept = _before_the_end(reply, model.generation_config.eos_token_id)
    ids = _appended(batch.input_ids, batch.attention_mask, reply, kept)
    roles = _appended(
        batch.roles, batch.attention_mask, torch.full_like(reply, Role.ANSWER), kept, Role.PAD
    )
    return PromptBatch(ids, (roles != Role.PAD).long(), roles, batch.pixel_values)


def _padded_left(
    batch: PromptBatch,
) -> tuple[Int[Tensor, "batch token"], Int[Tensor, "batch token"]]:
    """Ids and mask with the padding moved to the front, where generation wants it."""
    n_tokens = batch.input_ids.shape[1]
    n_padding = n_tokens - batch.attention_mask.sum(1, keepdim=True)
    source = (torch.arange(n_tokens, device=n_padding.device) - n_padding) % n_tokens
    return batch.input_ids.gather(1, source), batch.attention_mask.gather(1, source)


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
