"""A batch's replies are those that each prompt gets alone, token by token."""

import pytest
import torch

from feature_atlas.vlm.reply import with_reply
from feature_atlas.vlm.token_roles import PromptBatch, Role, encode_prompts

QUESTIONS = ["is the red circle above the blue square ?", "how many circles ?", "where is it ?"]
N_TOKENS = 12


def alone(batch: PromptBatch, row: int) -> torch.Tensor:
    """One prompt's tokens without padding."""
    return batch.input_ids[row][batch.attention_mask[row] == 1]


def greedy(llava, ids: torch.Tensor, pixels: torch.Tensor) -> list[int]:
    said: list[int] = []
    while len(said) < N_TOKENS:
        whole = torch.cat([ids, torch.tensor(said, dtype=torch.int64)])
        word = llava(input_ids=whole[None], pixel_values=pixels[None]).logits[0, -1].argmax().item()
        if word == llava.generation_config.eos_token_id:
            break
        said.append(word)
    return said


@pytest.fixture
def batch(processor, pictures):
    return encode_prompts(processor, QUESTIONS, pictures)


def test_each_prompt_is_followed_by_its_own_greedy_reply(llava, batch):
    replied = with_reply(llava, batch, N_TOKENS)

    for row in range(3):
        ids, roles = alone(replied, row), replied.roles[row][replied.attention_mask[row] == 1]
        said = ids[roles == Role.ANSWER].tolist()
        prompt = alone(batch, row)
        assert said == greedy(llava, prompt, batch.processed["pixel_values"][row])
        assert ids.tolist() == prompt.tolist() + said
        assert said
    assert torch.equal(replied.processed["pixel_values"], batch.processed["pixel_values"])


def test_a_reply_ends_before_the_end_of_sequence_token(llava, batch, monkeypatch):
    whole = with_reply(llava, batch, N_TOKENS)
    words = [alone(whole, row)[len(alone(batch, row)) :].tolist() for row in range(3)]
    end = words[0][3]
    monkeypatch.setattr(llava.generation_config, "eos_token_id", end)

    replied = with_reply(llava, batch, N_TOKENS)

    for row, said in enumerate(words):
        kept = alone(replied, row)[len(alone(batch, row)) :].tolist()
        assert kept == (said[: said.index(end)] if end in said else said)
    padding = replied.attention_mask == 0
    assert padding.any()
    assert torch.equal(padding, replied.roles == Role.PAD)


def test_the_roles_of_the_prompt_stay(llava, batch):
    replied = with_reply(llava, batch, 2)

    for row in range(3):
        n = int(batch.attention_mask[row].sum())
        assert torch.equal(replied.roles[row, :n], batch.roles[row, :n])
        assert (replied.roles[row, n : n + 2] == Role.ANSWER).all()


def test_a_reply_never_holds_the_token_that_stands_for_a_picture(llava, batch):
    image_token, first = llava.config.image_token_id, with_reply(llava, batch, N_TOKENS)

    def prefer(_module, _args, scores: torch.Tensor) -> torch.Tensor:
        return scores.index_fill(-1, torch.tensor([image_token]), 1e4)

    handle = llava.lm_head.register_forward_hook(prefer)
    replied = with_reply(llava, batch, N_TOKENS)
    handle.remove()

    assert torch.equal(replied.input_ids, first.input_ids)
