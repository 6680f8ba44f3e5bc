"""What the two networks are trained on: batches of fresh scenes with many questions each."""

from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from feature_atlas.toy.balance import Balance
from feature_atlas.toy.describe import textual_scene
from feature_atlas.toy.draw import Picture, draw_scene
from feature_atlas.toy.drills import attribute_drill, fact_drill, relation_drill
from feature_atlas.toy.packing import Packed, Piece, pack
from feature_atlas.toy.questions import Question, ask_describe, ask_positions, ask_some
from feature_atlas.toy.scene import N_CELLS, Scene, random_scene
from feature_atlas.toy.tokenizer import PIXEL_MEAN, PIXEL_STD, Words

DRILL_PROMPT = "Say where the objects are."
RELATION_DRILL_PROMPT = "Say which objects are where."
FACT_DRILL_PROMPT = "Say what is true."
STATEMENT_PROMPT = "Is this statement true? {}"
ANSWER_WEIGHT = 1.0
# A caption has twenty times the tokens of an answer and would otherwise be most of the loss.
CAPTION_WEIGHT = 0.4
# Enough for the networks to be language models too, too little to distract.
OTHER_WEIGHT = 0.05


class Plan(NamedTuple):
    """What one batch is made of: of each scene a description or a drill, and what is named here."""

    n_scenes: int
    n_questions: int = 0
    kinds: dict[str, float] = {}
    """How often each kind of question is asked."""
    drill_share: float = 0.67
    """How many scenes get the drill of attributes, instead of a description."""
    n_pairs: int = 0
    """Pairs of things in the drill of relations."""
    n_facts: int = 0
    """Verdicts, colours and counts in the drill of facts."""


@dataclass
class Teacher:
    """The random state that scenes, questions and pixel noise come from."""

    seed: int
    balance: Balance = field(default_factory=Balance)
    words: Words = field(default_factory=Words)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.noise = np.random.default_rng(self.seed)


def text_lesson(teacher: Teacher, plan: Plan) -> Packed:
    """Scenes as text, with questions."""
    sequences = []
    for _ in range(plan.n_scenes):
        scene = random_scene(teacher.random)
        prefix = text_prefix(textual_scene(scene, teacher.random), teacher.words)
        sequences.append((prefix, _blocks(scene, teacher, plan)))
    return pack(sequences, common_length(sequences))


def image_lesson(teacher: Teacher, plan: Plan) -> tuple[Packed, Float[Tensor, "scene rgb y x"]]:
    """Scenes as pictures, with questions: the packed tokens, and the pixel values."""
    scenes = [random_scene(teacher.random) for _ in range(plan.n_scenes)]
    prefix = image_prefix(teacher.words)
    sequences = [(prefix, _blocks(scene, teacher, plan)) for scene in scenes]
    pictures = [draw_scene(scene, teacher.noise) for scene in scenes]
    return pack(sequences, common_length(sequences)), pixel_values(pictures)


def text_prefix(scene_text: str, words: Words) -> Piece:
    """`<bos> <user>` and the scene in words."""
    tokens = words.special("bos", "user") + words(scene_text)
    return Piece(tokens, [OTHER_WEIGHT] * len(tokens))


def image_prefix(words: Words) -> Piece:
    """`<bos> <user>` and sixteen image tokens, which nobody predicts."""
    tokens = words.special("bos", "user") + words.special("image") * N_CELLS
    return Piece(tokens, [0.0] * len(tokens))


def question_tokens(question: Question, words: Words) -> list[int]:
    """The question as a model is asked it, up to and with `<assistant>`."""
    return words(asked_text(question)) + words.special("assistant")


def asked_text(question: Question) -> str:
    """The question in the words that a model is asked it with."""
    is_statement = question.kind == "statement"
    return STATEMENT_PROMPT.format(question.text) if is_statement else question.text


def pixel_values(pictures: list[Picture]) -> Float[Tensor, "picture rgb y x"]:
    """What the image processor makes of pictures that already have the right size."""
    scaled = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    return (scaled - PIXEL_MEAN) / PIXEL_STD


def question_block(question: Question, words: Words) -> Piece:
    """A question, `<assistant>`, its answer and `<eos>`."""
    asked = question_tokens(question, words)
    answer = words(question.answer) + words.special("eos")
    weight = CAPTION_WEIGHT if question.kind == "describe" else ANSWER_WEIGHT
    weights = [OTHER_WEIGHT] * len(asked) + [weight] * len(answer)
    return Piece(asked + answer, weights, len(answer))


def _blocks(scene: Scene, teacher: Teacher, plan: Plan) -> list[Piece]:
    return [
        question_block(question, teacher.words) for question in questions_of(scene, teacher, plan)
    ]


def questions_of(scene: Scene, teacher: Teacher, plan: Plan) -> list[Question]:
    """What a plan asks about one scene."""
    random, balance = teacher.random, teacher.balance
    questions: list[Question] = []
    if plan.n_questions:
        questions = ask_some(scene, plan.kinds, plan.n_questions, balance, random)
    if random.random() < plan.drill_share:
        questions.append(Question(DRILL_PROMPT, attribute_drill(scene, random), "drill"))
    else:
        describe = random.choice((ask_describe, ask_positions))
        questions.append(describe(scene, balance, random))
    if plan.n_pairs:
        relations = relation_drill(scene, random, plan.n_pairs)
        questions.append(Question(RELATION_DRILL_PROMPT, relations, "drill"))
    if plan.n_facts:
        facts = fact_drill(scene, random, plan.n_facts)
        questions.append(Question(FACT_DRILL_PROMPT, facts, "drill"))
    return questions


def common_length(sequences: list[tuple[Piece, list[Piece]]]) -> int:
    """The longest sequence, rounded up: few different lengths keep the allocator calm."""
    longest = max(sum(len(p.tokens) for p in (prefix, *blocks)) for prefix, blocks in sequences)
    return -(-longest // 16) * 16
