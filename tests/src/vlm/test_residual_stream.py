import pytest
import torch

from feature_atlas.toy.tokenizer import build_processor
from feature_atlas.vlm.chat_template import DATE, chat_template, render_prompt
from feature_atlas.vlm.decoder_inputs import decoder_inputs, text_model
from feature_atlas.vlm.image_features import image_features
from feature_atlas.vlm.residual_stream import (
    decoder_layers,
    edit_residual,
    logits,
    residuals,
)
from feature_atlas.vlm.token_roles import Role, constant_prefix, encode_prompts

QUESTIONS = ["is the red circle above the blue square ?", "how many circles ?", "where is it ?"]


@pytest.fixture
def batch(processor, pictures):
    return encode_prompts(processor, QUESTIONS, pictures)


def test_roles_follow_the_prompt_from_bos_to_header(processor, pictures):
    batch = encode_prompts(processor, ["how many circles ?"], pictures[:1], suffix="yes or no")

    names = [Role(r).name for r in batch.roles[0].tolist()]

    assert names[0] == "BOS"
    assert names.count("IMAGE") == 16
    assert names.count("QUESTION") == 4
    assert names.count("SUFFIX") == 3
    assert names[-1] == "HEADER"
    order = [Role[name] for name in names]
    assert order == sorted(order)


def test_question_tokens_are_the_words_of_the_question(processor, batch):
    ids = batch.input_ids[1][batch.roles[1] == Role.QUESTION]

    assert processor.tokenizer.decode(ids).split() == ["how", "many", "circles", "?"]


def test_padding_has_its_own_role_and_is_on_the_right(batch):
    assert (batch.roles[1] == Role.PAD).equal(batch.attention_mask[1] == 0)
    assert batch.attention_mask[1].diff().max() <= 0


def test_a_question_that_the_template_alters_is_refused():
    shouting = build_processor()
    shouting.chat_template = "<bos>{{ messages[0]['content'][0]['text'] | upper }}<assistant>"

    with pytest.raises(ValueError, match="chat template changed the question"):
        encode_prompts(shouting, ["how many ?"], None)


def test_as_many_images_as_questions(processor, pictures):
    with pytest.raises(ValueError, match="3 images for 2 questions"):
        encode_prompts(processor, QUESTIONS[:2], pictures)


def test_spliced_embeddings_give_the_logits_of_the_model_itself(llava, batch):
    inputs = decoder_inputs(llava, batch)
    own = llava(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        **batch.processed,
    ).logits
    last = batch.attention_mask.sum(1) - 1

    torch.testing.assert_close(logits(llava, inputs), own[torch.arange(3), last])


def test_image_tokens_without_pictures_are_refused(llava, batch):
    with pytest.raises(ValueError, match="48 image tokens in the prompts, 0 image embeddings"):
        decoder_inputs(llava, batch._replace(processed={}))


def test_too_few_image_features_are_refused(llava, batch):
    features = image_features(llava, batch)
    fewer = features._replace(levels=(features.levels[0][:45],))

    with pytest.raises(ValueError, match="48 image tokens in the prompts, 45 image embeddings"):
        decoder_inputs(llava, batch, fewer)
    with pytest.raises(
        ValueError, match=r"features of \[\[45, 128\]\] in the place of \[\[48, 128\]\]"
    ):
        features.replaced(fewer.levels)


def test_another_image_token_than_the_models_is_refused(llava, batch):
    other = batch._replace(input_ids=batch.input_ids.clone())
    other.input_ids[batch.roles == Role.IMAGE] += 1

    with pytest.raises(ValueError, match="model's configuration says image_token_id"):
        decoder_inputs(llava, other)


def test_residuals_are_what_the_blocks_return_run_one_by_one(llava, batch):
    inputs = decoder_inputs(llava, batch)
    embeds, decoder = inputs.embeds, text_model(llava)
    positions = torch.arange(embeds.shape[1])[None]
    causal = torch.full((embeds.shape[1],) * 2, -torch.inf).triu(1)[None, None]
    padding = (1.0 - batch.attention_mask[:, None, None].float()) * -1e9
    hidden, rotary = embeds, decoder.rotary_emb(embeds, positions)
    by_hand = []
    for block in decoder_layers(llava):
        hidden = block(hidden, attention_mask=causal + padding, position_embeddings=rotary)
        by_hand.append(hidden)

    found = residuals(llava, inputs, [0, 3, 5])

    is_token = batch.attention_mask.bool()
    for layer in (0, 3, 5):
        torch.testing.assert_close(
            found[layer][is_token], by_hand[layer][is_token], atol=1e-4, rtol=1e-4
        )


def test_stopping_early_changes_no_earlier_residual_and_is_undone(llava, batch):
    inputs = decoder_inputs(llava, batch)

    alone = residuals(llava, inputs, [1])[1]
    with_later = residuals(llava, inputs, [1, 5])[1]

    assert torch.equal(alone, with_later)


def test_a_layer_that_is_not_there_is_refused(llava, batch):
    with pytest.raises(ValueError, match="layer 6 of a model with 6: expected 0 to 5"):
        residuals(llava, decoder_inputs(llava, batch), [1, 6])


def test_an_edit_replaces_one_layers_output_and_is_undone(llava, batch):
    inputs = decoder_inputs(llava, batch)
    before = logits(llava, inputs)

    with edit_residual(llava, 2, lambda hidden: hidden * 0):
        edited = residuals(llava, inputs, [2])[2]

    assert not edited.any()
    assert torch.equal(logits(llava, inputs), before)


def test_the_prefix_is_the_same_in_every_sample(llava, batch):
    inputs = decoder_inputs(llava, batch)
    hidden = residuals(llava, inputs, [5])[5]
    is_prefix = (batch.roles == Role.BOS) | (batch.roles == Role.PREFIX)

    torch.testing.assert_close(hidden[0][is_prefix[0]], hidden[2][is_prefix[2]])


def templated(begin: str):
    """A processor whose template writes this before the image."""
    changed = build_processor()
    changed.chat_template = chat_template(changed).replace("{{ bos_token }}", begin)
    return changed


@pytest.mark.parametrize(("begin", "n_found"), [("", 0), ("{{ bos_token }}{{ bos_token }}", 2)])
def test_a_prompt_without_bos_or_with_two_is_refused(begin, n_found):
    with pytest.raises(
        ValueError, match=f"a prompt has {n_found} BOS tokens, expected exactly one"
    ):
        encode_prompts(templated(begin), ["how many ?"], None)


def test_a_template_without_an_image_is_refused(pictures):
    blind = build_processor()
    blind.chat_template = chat_template(blind).replace("<image>", "")

    with pytest.raises(ValueError, match="0 placeholders '<image>' for a picture, expected 1"):
        encode_prompts(blind, ["how many ?"], pictures[:1])


@pytest.mark.parametrize("has_image", [True, False])
def test_a_question_that_holds_the_image_token_is_refused(processor, pictures, has_image):
    questions = ["how many ?", "what is <image> ?"]
    expected = int(has_image)

    with pytest.raises(ValueError, match=rf"{expected + 1} placeholders .* expected {expected}:"):
        encode_prompts(processor, questions, pictures[:2] if has_image else None)


def test_the_constant_prefix_is_bos_and_the_user_token(processor, batch):
    assert processor.tokenizer.decode(constant_prefix(batch)) == "<bos> <user>"


def test_the_prefix_is_found_without_an_image_too(processor):
    words = templated("{{ bos_token }} you can see")

    found = constant_prefix(encode_prompts(words, QUESTIONS, None))

    assert processor.tokenizer.decode(found) == "<bos> you can see <user>"


def test_a_prefix_that_changes_within_a_batch_is_refused(batch):
    ids = batch.input_ids.clone()
    ids[2, 1] += 1

    with pytest.raises(ValueError, match="prompt 2 of a batch begins with other template text"):
        constant_prefix(batch._replace(input_ids=ids))


def test_a_prefix_of_another_length_is_refused(batch):
    roles = batch.roles.clone()
    roles[1, 2] = Role.PREFIX

    with pytest.raises(ValueError, match=r"prompt 1 .*\(3 and 2 tokens before"):
        constant_prefix(batch._replace(roles=roles))


def test_a_template_that_writes_todays_date_writes_a_fixed_one():
    today = "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}"
    dated = templated("{{ bos_token }}" + today + "{% endif %}{{ date_string }}")

    assert render_prompt(dated, "how many ?", has_image=False).startswith(f"<bos>{DATE}<user>")


def test_a_processor_without_a_template_is_refused():
    silent = build_processor()
    silent.chat_template = silent.tokenizer.chat_template = None

    with pytest.raises(ValueError, match="LlavaProcessor has no chat template"):
        render_prompt(silent, "how many ?", has_image=False)


@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
def test_infinite_activations_are_refused_with_their_layer(llava, batch, bad):
    inputs = decoder_inputs(llava, batch)

    def spoil(hidden):
        spoilt = hidden.clone()
        spoilt[1, 4, 7] = bad
        return spoilt

    with (
        edit_residual(llava, 3, spoil),
        pytest.raises(ValueError, match=r"layer 3 .* infinity or NaN on 1 tokens.*bfloat16"),
    ):
        residuals(llava, inputs, [1, 3])


def test_padding_may_hold_anything(llava, batch):
    inputs = decoder_inputs(llava, batch)
    is_padding = (batch.attention_mask == 0)[..., None]

    with edit_residual(llava, 3, lambda hidden: hidden.masked_fill(is_padding, torch.inf)):
        found = residuals(llava, inputs, [3])[3]

    assert is_padding.any()
    assert torch.isfinite(found).all(-1).equal(batch.attention_mask == 1)
