"""How often a network's answer is the true one, by kind of question and by relation.

Answers are checked under teacher forcing: an answer is right if every token of it, `<eos>`
included, is the most likely one after the true tokens before it. That is the same as greedy
generation giving exactly the true answer, at a fraction of the cost.
"""

from collections import defaultdict
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import LlamaForCausalLM, LlavaForConditionalGeneration

from feature_atlas.toy.describe import textual_scene
from feature_atlas.toy.draw import draw_scene
from feature_atlas.toy.lessons import (
    Teacher,
    common_length,
    image_prefix,
    pixel_values,
    question_block,
    text_prefix,
)
from feature_atlas.toy.packing import PREFIX, Packed, Piece, pack
from feature_atlas.toy.questions import Question, ask_describe, ask_positions, ask_some
from feature_atlas.toy.reading import image_embeddings, packed_hidden, text_hidden
from feature_atlas.toy.scene import Scene, random_scene
from feature_atlas.toy.tokenizer import Words

EXAM_KINDS = {
    "spatial": 6.0,
    "statement": 3.0,
    "where": 1.0,
    "exists": 1.0,
    "attribute": 1.0,
    "count": 1.0,
    "colour": 1.0,
    "shape": 1.0,
    "sign": 0.5,
    "sign_says": 0.5,
    "sign_exists": 0.5,
}
N_QUESTIONS_PER_SCENE = 12


class Exam(NamedTuple):
    """Scenes with their questions; the same for every network and condition."""

    scenes: list[Scene]
    questions: list[list[Question]]
    seed: int
    """Draws the pictures' noise and the order of the scenes' texts."""


def new_exam(seed: int, n_scenes: int) -> Exam:
    """Scenes drawn from a seed of their own, each with twelve questions and both descriptions."""
    teacher = Teacher(seed)
    random, balance = teacher.random, teacher.balance
    scenes = [random_scene(random) for _ in range(n_scenes)]
    questions = [
        [
            *ask_some(scene, EXAM_KINDS, N_QUESTIONS_PER_SCENE, balance, random),
            ask_describe(scene, balance, random),
            ask_positions(scene, balance, random),
        ]
        for scene in scenes
    ]
    return Exam(scenes, questions, seed)


@torch.no_grad()
def examine_language(model: LlamaForCausalLM, exam: Exam) -> dict[str, float]:
    """Accuracy by kind and relation with the scene as text."""
    words, random = Words(), Random(exam.seed)
    prefixes = [text_prefix(textual_scene(scene, random), words) for scene in exam.scenes]
    packed = _pack_exam(exam, prefixes)
    return _scores(exam, packed, model.lm_head(text_hidden(model, packed)))


@torch.no_grad()
def examine_vlm(
    vlm: LlavaForConditionalGeneration,
    exam: Exam,
    mean_image: Float[Tensor, "patch d_model"] | None = None,
) -> dict[str, float]:
    """Accuracy by kind and relation with pictures, or with one mean embedding for all of them."""
    packed = _pack_exam(exam, [image_prefix(Words())] * len(exam.scenes))
    images = image_embeddings(vlm, _exam_pixels(exam))
    if mean_image is not None:
        images = mean_image.expand_as(images)
    return _scores(exam, packed, vlm.lm_head(packed_hidden(vlm, packed, images)))


@torch.no_grad()
def mean_image_embedding(
    vlm: LlavaForConditionalGeneration, seed: int, n_images: int
) -> Float[Tensor, "patch d_model"]:
    """What the projector gives on average at each of the sixteen places: a picture of nothing."""
    return image_embeddings(vlm, _exam_pixels(new_exam(seed, n_images))).mean(0)


def _exam_pixels(exam: Exam) -> Float[Tensor, "scene rgb y x"]:
    noise = np.random.default_rng(exam.seed)
    return pixel_values([draw_scene(scene, noise) for scene in exam.scenes])


def _pack_exam(exam: Exam, prefixes: list[Piece]) -> Packed:
    words = Words()
    sequences = [
        (prefix, [question_block(question, words) for question in questions])
        for prefix, questions in zip(prefixes, exam.questions, strict=True)
    ]
    return pack(sequences, common_length(sequences))


def _scores(
    exam: Exam, packed: Packed, logits: Float[Tensor, "batch token word"]
) -> dict[str, float]:
    """Share of right answers under the keys "kind" and "kind: relation"."""
    wrong = (logits[:, :-1].argmax(-1) != packed.tokens[:, 1:]) & packed.is_answer[:, 1:]
    n_blocks = max(map(len, exam.questions))
    n_wrong = torch.zeros(len(exam.scenes), n_blocks + 1)
    n_wrong.scatter_add_(1, packed.block[:, 1:].clamp(min=PREFIX), wrong.float())
    right = defaultdict(list)
    for scene, questions in enumerate(exam.questions):
        for number, question in enumerate(questions, start=1):
            is_right = n_wrong[scene, number].item() == 0
            right[question.kind].append(is_right)
            if question.relation:
                right[f"{question.kind}: {question.relation}"].append(is_right)
    return {key: sum(flags) / len(flags) for key, flags in sorted(right.items())}
