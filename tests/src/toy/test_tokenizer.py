from random import Random

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, AutoTokenizer

from feature_atlas.toy.balance import Balance
from feature_atlas.toy.describe import caption, textual_scene
from feature_atlas.toy.draw import draw_scene
from feature_atlas.toy.drills import attribute_drill, fact_drill, relation_drill
from feature_atlas.toy.lessons import STATEMENT_PROMPT, pixel_values
from feature_atlas.toy.questions import ASKERS, ask_some
from feature_atlas.toy.scene import random_scene
from feature_atlas.toy.tokenizer import Words, build_processor, build_tokenizer, vocabulary
from feature_atlas.toy.weights import language_model_path, vlm_path

QUESTION = "Is the red circle left of the blue square?"


@pytest.fixture(scope="module")
def processor():
    return build_processor()


def conversation(*parts: dict) -> list[dict]:
    return [{"role": "user", "content": list(parts)}]


def text(words: str) -> dict:
    return {"type": "text", "text": words}


def test_a_prompt_has_one_bos_sixteen_image_tokens_and_ends_with_the_assistant(processor):
    prompt = processor.apply_chat_template(
        conversation({"type": "image"}, text(QUESTION)), add_generation_prompt=True
    )
    picture = Image.fromarray(draw_scene(random_scene(Random(0)), np.random.default_rng(0)))
    inputs = processor(images=picture, text=prompt, add_special_tokens=False, return_tensors="pt")
    tokens = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])

    assert tokens[:2] == ["<bos>", "<user>"]
    assert tokens[2:18] == ["<image>"] * 16
    assert " ".join(tokens[18:]) == f"{QUESTION[:-1].lower()} ? <assistant>"
    assert tokens.count("<bos>") == 1
    assert inputs["pixel_values"].shape == (1, 3, 64, 64)


def test_without_an_image_the_image_token_is_left_out(processor):
    prompt = processor.apply_chat_template(conversation(text(QUESTION)), add_generation_prompt=True)

    assert "<image>" not in prompt


def test_the_base_model_reads_the_scene_as_words_in_the_same_place():
    tokenizer = build_tokenizer()
    ids = tokenizer.apply_chat_template(
        conversation(text("row one column w circle red."), text("Where is the red circle?")),
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )

    assert tokenizer.decode(ids) == (
        "<bos> <user> row one column w circle red . where is the red circle ? <assistant>"
    )


def test_an_answer_ends_the_turn():
    tokenizer = build_tokenizer()
    turn = {"role": "assistant", "content": "yes"}
    prompt = tokenizer.apply_chat_template([*conversation(text(QUESTION)), turn], tokenize=False)

    assert prompt.endswith("<assistant> yes<eos>")


def test_the_plain_rule_of_training_is_the_tokenizers_own():
    tokenizer, words = build_tokenizer(), Words()
    random, balance = Random(0), Balance()
    for _ in range(50):
        scene = random_scene(random)
        questions = ask_some(scene, dict.fromkeys(ASKERS, 1.0), 8, balance, random)
        texts = [textual_scene(scene, random), caption(scene)]
        for sentence in [*texts, *(q.text for q in questions), *(q.answer for q in questions)]:
            assert words(sentence) == tokenizer(sentence, add_special_tokens=False)["input_ids"]


def test_the_world_says_nothing_the_tokenizer_does_not_know():
    words, random, balance = Words(), Random(2), Balance()
    unknown = vocabulary()["<unk>"]
    for _ in range(200):
        scene = random_scene(random)
        for question in ask_some(scene, dict.fromkeys(ASKERS, 1.0), 8, balance, random):
            assert unknown not in words(question.text) + words(question.answer)
        drills = [attribute_drill(scene, random), relation_drill(scene, random, 9)]
        for said in [*drills, fact_drill(scene, random, 9), textual_scene(scene, random)]:
            assert unknown not in words(said)
    assert unknown not in words(STATEMENT_PROMPT.format(""))


def test_yes_and_no_are_single_tokens():
    tokenizer = build_tokenizer()

    for answer in ("yes", "no", "Yes", "No"):
        assert len(tokenizer(answer, add_special_tokens=False)["input_ids"]) == 1


def test_the_processor_makes_the_pixels_training_used(processor):
    picture = draw_scene(random_scene(Random(3)), np.random.default_rng(3))
    processed = processor.image_processor(Image.fromarray(picture), return_tensors="pt")

    torch.testing.assert_close(processed["pixel_values"], pixel_values([picture]))


def test_the_shipped_folders_load_with_the_ordinary_classes():
    tokenizer = AutoTokenizer.from_pretrained(language_model_path())
    processor = AutoProcessor.from_pretrained(vlm_path())

    assert tokenizer.get_vocab() == processor.tokenizer.get_vocab() == vocabulary()
    assert processor.image_token == "<image>"
    assert processor.num_additional_image_tokens == 1
