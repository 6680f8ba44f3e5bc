import json
from itertools import islice

from feature_atlas.toy.base_sae import QUESTIONS_AND_CAPTIONS
from feature_atlas.toy.describe import textual_scene
from feature_atlas.toy.lessons import Teacher, question_block, questions_of, text_prefix
from feature_atlas.toy.plain_text import FIRST_SEED, plain_texts, write_plain_text
from feature_atlas.toy.scene import random_scene
from feature_atlas.toy.tokenizer import build_tokenizer


def test_a_document_tokenises_to_a_prefix_and_a_block_of_a_lesson():
    teacher, tokenizer = Teacher(FIRST_SEED + 3), build_tokenizer()
    documents = plain_texts(3, 20)
    for _ in range(20):
        scene = random_scene(teacher.random)
        prefix = text_prefix(textual_scene(scene, teacher.random), teacher.words)
        for question in questions_of(scene, teacher, QUESTIONS_AND_CAPTIONS):
            ids = tokenizer(next(documents), add_special_tokens=False)["input_ids"]
            block = question_block(question, teacher.words)

            assert [tokenizer.bos_token_id, *ids] == prefix.tokens + block.tokens


def test_every_scene_gives_thirteen_documents_the_same_for_the_same_seed(tmp_path):
    write_plain_text(tmp_path / "text.jsonl", seed=1, n_scenes=4)

    lines = (tmp_path / "text.jsonl").read_text().splitlines()

    assert [json.loads(line)["text"] for line in lines] == list(islice(plain_texts(1, 9), 4 * 13))
