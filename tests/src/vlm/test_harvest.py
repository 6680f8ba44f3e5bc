import torch

from feature_atlas.vlm.decoder_inputs import decoder_inputs
from feature_atlas.vlm.harvest import harvest
from feature_atlas.vlm.image_features import image_features, mean_image
from feature_atlas.vlm.residual_stream import residuals
from feature_atlas.vlm.token_roles import Role, encode_prompts

QUESTIONS = ["is the red circle above the blue square ?", "how many circles ?", "where is it ?"]


def test_tokens_are_those_of_the_prompts_without_padding(llava, processor, pictures):
    batch = encode_prompts(processor, QUESTIONS, pictures)

    tokens = harvest(llava, batch, [1, 4])

    assert len(tokens.roles) == int(batch.attention_mask.sum())
    assert tokens.prompt.bincount().equal(batch.attention_mask.sum(1))
    expected = residuals(llava, decoder_inputs(llava, batch), [4])[4]
    torch.testing.assert_close(tokens.residuals[4], expected[batch.attention_mask.bool()])


def test_only_the_wanted_roles_are_kept(llava, processor, pictures):
    batch = encode_prompts(processor, QUESTIONS, pictures)

    image = harvest(llava, batch, [0]).only([Role.IMAGE])

    assert image.residuals[0].shape[0] == 3 * 16
    assert set(image.roles.tolist()) == {Role.IMAGE}


def test_other_image_embeddings_change_text_residuals(llava, processor, pictures):
    batch = encode_prompts(processor, QUESTIONS, pictures)
    pictures_features = image_features(llava, batch)
    swapped = pictures_features.replaced([pictures_features.levels[0].roll(16, 0)])

    own = harvest(llava, batch, [5]).only([Role.HEADER]).residuals[5]
    other = harvest(llava, batch, [5], image=swapped).only([Role.HEADER]).residuals[5]

    assert (own - other).abs().max() > 1e-3


def test_the_mean_image_is_the_mean_over_all_batches(llava, processor, pictures):
    batches = [
        encode_prompts(processor, QUESTIONS[:2], pictures[:2]),
        encode_prompts(processor, QUESTIONS[2:], pictures[2:]),
    ]
    features = torch.cat([image_features(llava, batch).levels[0] for batch in batches])

    mean = mean_image(llava, iter(batches))

    torch.testing.assert_close(mean.levels[0], features.unflatten(0, (3, 16)).mean(0))
    own = image_features(llava, batches[0])
    in_place = mean.in_place_of(own, batches[0])
    assert torch.equal(in_place.levels[0], mean.levels[0].repeat(2, 1))
    everywhere = mean.over_places().in_place_of(own, batches[0]).levels[0]
    torch.testing.assert_close(everywhere, features.mean(0).expand(32, -1))
