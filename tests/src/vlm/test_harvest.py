import torch

from feature_atlas.vlm.harvest import harvest, mean_image_embedding
from feature_atlas.vlm.residual_stream import image_embeddings, input_embeddings, residuals
from feature_atlas.vlm.token_roles import Role, encode_prompts

QUESTIONS = ["is the red circle above the blue square ?", "how many circles ?", "where is it ?"]


def test_tokens_are_those_of_the_prompts_without_padding(llava, processor, pictures):
    batch = encode_prompts(processor, QUESTIONS, pictures)

    tokens = harvest(llava, batch, [1, 4])

    assert len(tokens.roles) == int(batch.attention_mask.sum())
    assert tokens.prompt.bincount().equal(batch.attention_mask.sum(1))
    embeds = input_embeddings(llava, batch, image_embeddings(llava, batch.pixel_values))
    expected = residuals(llava, embeds, batch.attention_mask, [4])[4]
    torch.testing.assert_close(tokens.residuals[4], expected[batch.attention_mask.bool()])


def test_only_the_wanted_roles_are_kept(llava, processor, pictures):
    batch = encode_prompts(processor, QUESTIONS, pictures)

    image = harvest(llava, batch, [0]).only([Role.IMAGE])

    assert image.residuals[0].shape[0] == 3 * 16
    assert set(image.roles.tolist()) == {Role.IMAGE}


def test_other_image_embeddings_change_text_residuals(llava, processor, pictures):
    batch = encode_prompts(processor, QUESTIONS, pictures)
    swapped = image_embeddings(llava, batch.pixel_values).roll(1, 0)

    own = harvest(llava, batch, [5]).only([Role.HEADER]).residuals[5]
    other = harvest(llava, batch, [5], image_embeds=swapped).only([Role.HEADER]).residuals[5]

    assert (own - other).abs().max() > 1e-3


def test_the_mean_image_is_the_mean_over_all_batches(llava, processor, pictures):
    batches = [
        encode_prompts(processor, QUESTIONS[:2], pictures[:2]),
        encode_prompts(processor, QUESTIONS[2:], pictures[2:]),
    ]
    all_embeds = torch.cat([image_embeddings(llava, b.pixel_values) for b in batches])

    torch.testing.assert_close(mean_image_embedding(llava, iter(batches)), all_embeds.mean(0))
