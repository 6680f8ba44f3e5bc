"""What is remembered of a picture gives the same replies and residuals as whole prompts."""

import numpy as np
import pytest
import torch
from families import N_LAYERS, family
from PIL import Image

from feature_atlas.vlm.harvest import harvest
from feature_atlas.vlm.image_features import image_features, mean_image
from feature_atlas.vlm.prompt_keys import PromptKeys, prompt_keys
from feature_atlas.vlm.reply import with_reply
from feature_atlas.vlm.token_roles import PromptBatch, encode_prompts

FIRST, ASKED, SUFFIX = "describe the image", "is the red circle left of it ?", "yes"
SHARED = (
    "llava", "llava_qwen", "llava_phi", "llava_granite", "llava_next", "llava_onevision",
    "idefics3", "smolvlm", "internvl",
)  # fmt: skip
WHOLE = ("llava_mistral", "llava_gemma2", "qwen2_5_vl", "qwen3_vl", "gemma3", "paligemma")
LAYERS = range(N_LAYERS)


def asked(made, question: str, n_pictures: int = 3, sizes=((48, 48), (48, 48), (48, 48))):
    noise = np.random.default_rng(0)
    pictures = [
        Image.fromarray(noise.integers(0, 255, (*size, 3), dtype=np.uint8)) for size in sizes
    ]
    questions = [question] * n_pictures
    return encode_prompts(made.processor, questions, pictures[:n_pictures], suffix=SUFFIX)


def apart(made, said: PromptBatch, keys: PromptKeys, image=None) -> float:
    """Greatest difference at a token behind the picture, relative to its residual's length."""
    whole = harvest(made.model, said, LAYERS, image=image)
    after = harvest(made.model, said._replace(processed={}), LAYERS, keys=keys)
    n_each = said.attention_mask.sum(1).tolist()
    is_after = torch.cat([torch.arange(n) >= len(keys.ids) for n in n_each])
    assert torch.equal(whole.roles[is_after], after.roles)
    assert torch.equal(whole.prompt[is_after], after.prompt)
    pairs = [(whole.residuals[i][is_after], after.residuals[i]) for i in LAYERS]
    return max(float(((a - b).norm(dim=-1) / a.norm(dim=-1)).max()) for a, b in pairs)


@pytest.mark.parametrize("name", SHARED)
def test_replies_and_residuals_are_those_of_whole_prompts(name: str) -> None:
    made = family(name)
    first, whole = asked(made, FIRST), asked(made, ASKED)
    keys = prompt_keys(made.model, first)
    batch = keys.followed_by(asked(made, ASKED, 1))

    assert torch.equal(batch.input_ids, whole.input_ids)
    assert torch.equal(batch.roles, whole.roles)
    said = with_reply(made.model, whole, 12)
    assert torch.equal(with_reply(made.model, batch, 12, keys).input_ids, said.input_ids)
    assert apart(made, said, keys) < 1e-5
    assert apart(made, said, keys) < 1e-5  # nothing was added to what is remembered


def test_keys_of_the_mean_image_serve_all_prompts() -> None:
    made = family("llava")
    batch = asked(made, FIRST)
    own, mean = image_features(made.model, batch), mean_image(made.model, [batch])
    image, one = mean.in_place_of(own, batch), asked(made, FIRST, 1)
    blind = one._replace(features=mean.in_place_of(own, one))
    keys = prompt_keys(made.model, blind).of(torch.zeros(3, dtype=torch.int64))

    assert apart(made, with_reply(made.model, batch, 5), keys, image) < 1e-5


def test_some_pictures_and_several_batches() -> None:
    made = family("llava")
    batch = asked(made, FIRST)
    keys = prompt_keys(made.model, batch)
    twice, back = PromptKeys.joined([keys, keys]), torch.tensor([5, 3, 1])
    said = with_reply(made.model, batch, 5)

    assert apart(made, said, twice.of(back).of(torch.tensor([1, 2, 0]))) < 1e-5
    assert apart(made, said, twice.of(back)) > 0.01  # other pictures
    assert twice.n_bytes == 2 * keys.n_bytes
    other = PromptBatch(*(t[:, 1:] for t in batch[:3]))
    assert keys.followed_by(other) is None


@pytest.mark.parametrize("name", WHOLE)
def test_families_whose_pictures_see_the_question_or_whose_memory_slides_run_whole(name) -> None:
    made = family(name)

    assert prompt_keys(made.model, asked(made, FIRST)) is None


def test_pictures_of_different_length_run_whole() -> None:
    made = family("llava_next")
    sizes = ((40, 60), (60, 40), (48, 48))

    assert prompt_keys(made.model, asked(made, FIRST, sizes=sizes)) is None
