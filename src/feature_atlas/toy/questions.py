"""Questions about a scene, with their true answers.

One function per kind; each returns a Question, or None if the scene cannot give one (no sign in it,
no two things far from each other). They ask for the answer that is behind, see `balance`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from random import Random

from feature_atlas.toy.balance import Balance
from feature_atlas.toy.describe import caption, place, plural, positions
from feature_atlas.toy.relations import RELATIONS, holds
from feature_atlas.toy.scene import COLOURS, LETTERS, SHAPES, Scene, Thing

MOST_TRIES = 100


@dataclass(frozen=True)
class Question:
    """What is asked, what is true, and which cells the truth lies in."""

    text: str
    answer: str
    kind: str
    relation: str | None = None
    cells: tuple[int, ...] = ()

    @property
    def balance_key(self) -> str:
        """Yes and no are kept equally frequent within this key."""
        return f"{self.kind}: {self.relation}" if self.relation else self.kind

    @property
    def is_yes_no(self) -> bool:
        """Whether the answer is one of the two balanced words."""
        return self.answer in ("yes", "no")


Asker = Callable[[Scene, Balance, Random], Question | None]


def ask_spatial(scene: Scene, balance: Balance, random: Random) -> Question | None:
    """Is the red circle left of the blue square?"""
    found = _related_pair(scene, "spatial", balance, random)
    if found is None:
        return None
    relation, answer, (a, b) = found
    text = f"Is the {_called(a, random)} {relation} the {_called(b, random)}?"
    return Question(text, answer, "spatial", relation, (a.cell, b.cell))


def ask_statement(scene: Scene, balance: Balance, random: Random) -> Question | None:
    """The red circle is left of the blue square. (as in VSR: true or not)"""
    found = _related_pair(scene, "statement", balance, random)
    if found is None:
        return None
    relation, answer, (a, b) = found
    text = f"The {_called(a, random)} is {relation} the {_called(b, random)}."
    return Question(text, answer, "statement", relation, (a.cell, b.cell))


def ask_where(scene: Scene, balance: Balance, random: Random) -> Question:
    """Where is the red circle? row two column y"""
    thing = random.choice(scene.things)
    text = f"Where is the {_called(thing, random)}?"
    return Question(text, place(thing.cell), "where", cells=(thing.cell,))


def ask_exists(scene: Scene, balance: Balance, random: Random) -> Question:
    """Is there a red circle? A false one has a colour or a shape that the scene does hold."""
    answer = balance.wanted("exists", random)
    thing = random.choice(scene.things)
    colour, shape = thing.colour, thing.shape
    if answer == "no":
        colour, shape = _not_there(scene, thing, random)
    article = "an" if colour == "orange" else "a"
    text = f"Is there {article} {colour} {shape}?"
    return Question(text, answer, "exists", cells=(thing.cell,) if answer == "yes" else ())


def ask_attribute(scene: Scene, balance: Balance, random: Random) -> Question:
    """Is the red object a circle?"""
    answer = balance.wanted("attribute", random)
    thing = random.choice(scene.things)
    shape = thing.shape
    if answer == "no":
        shape = random.choice([other for other in SHAPES if other != thing.shape])
    return Question(
        f"Is the {thing.colour} object a {shape}?", answer, "attribute", cells=(thing.cell,)
    )


def ask_count(scene: Scene, balance: Balance, random: Random) -> Question:
    """How many circles are there? How many objects are there?"""
    if random.random() < 0.4:
        cells = tuple(thing.cell for thing in scene.things)
        return Question("How many objects are there?", str(len(cells)), "count", cells=cells)
    present = random.random() < 0.75
    shape = random.choice(scene.things).shape if present else random.choice(SHAPES)
    cells = tuple(thing.cell for thing in scene.things if thing.shape == shape)
    return Question(f"How many {plural(shape)} are there?", str(len(cells)), "count", cells=cells)


def ask_colour(scene: Scene, balance: Balance, random: Random) -> Question | None:
    """What color is the circle? Only of a shape the scene holds once."""
    shapes = [thing.shape for thing in scene.things]
    unique = [thing for thing in scene.things if shapes.count(thing.shape) == 1]
    if not unique:
        return None
    thing = random.choice(unique)
    text = f"What color is the {thing.shape}?"
    return Question(text, thing.colour, "colour", cells=(thing.cell,))


def ask_shape(scene: Scene, balance: Balance, random: Random) -> Question:
    """What shape is the red object?"""
    thing = random.choice(scene.things)
    text = f"What shape is the {thing.colour} object?"
    return Question(text, thing.shape, "shape", cells=(thing.cell,))


def ask_sign(scene: Scene, balance: Balance, random: Random) -> Question | None:
    """What does the sign say?"""
    if scene.sign is None:
        return None
    text = "What does the sign say?"
    return Question(text, scene.sign.letter, "sign", cells=(scene.sign.cell,))


def ask_sign_says(scene: Scene, balance: Balance, random: Random) -> Question | None:
    """Does the sign say k?"""
    if scene.sign is None:
        return None
    answer = balance.wanted("sign_says", random)
    letter = scene.sign.letter
    if answer == "no":
        letter = random.choice([other for other in LETTERS if other != letter])
    return Question(f"Does the sign say {letter}?", answer, "sign_says", cells=(scene.sign.cell,))


def ask_sign_exists(scene: Scene, balance: Balance, random: Random) -> Question | None:
    """Is there a sign?"""
    answer = "yes" if scene.sign else "no"
    if balance.wanted("sign_exists", random) != answer:
        return None
    cells = (scene.sign.cell,) if scene.sign else ()
    return Question("Is there a sign?", answer, "sign_exists", cells=cells)


def ask_describe(scene: Scene, balance: Balance, random: Random) -> Question:
    """Describe the image. red circle row two column y, ..."""
    return Question("Describe the image.", caption(scene), "describe")


def ask_positions(scene: Scene, balance: Balance, random: Random) -> Question:
    """Describe the positions of objects in the image. red circle blue square left of above, ..."""
    text = "Describe the positions of objects in the image."
    return Question(text, positions(scene), "positions")


ASKERS: dict[str, Asker] = {
    "spatial": ask_spatial,
    "where": ask_where,
    "exists": ask_exists,
    "attribute": ask_attribute,
    "count": ask_count,
    "colour": ask_colour,
    "shape": ask_shape,
    "sign": ask_sign,
    "sign_says": ask_sign_says,
    "sign_exists": ask_sign_exists,
    "statement": ask_statement,
    "describe": ask_describe,
    "positions": ask_positions,
}


def ask_some(
    scene: Scene, kinds: dict[str, float], n_questions: int, balance: Balance, random: Random
) -> list[Question]:
    """Different questions of kinds drawn by weight; what the scene cannot give is drawn again."""
    names, weights = list(kinds), list(kinds.values())
    questions: dict[str, Question] = {}
    for kind in random.choices(names, weights, k=MOST_TRIES * n_questions):
        question = ASKERS[kind](scene, balance, random)
        if question is None or question.text in questions:
            continue
        questions[question.text] = question
        if question.is_yes_no:
            balance.record(question.balance_key, question.answer)
        if len(questions) == n_questions:
            return list(questions.values())
    raise ValueError(
        f"{len(questions)} different questions of the kinds {names} in {MOST_TRIES * n_questions} "
        f"tries, wanted {n_questions}; ask for fewer of {scene}"
    )


def _related_pair(
    scene: Scene, kind: str, balance: Balance, random: Random
) -> tuple[str, str, tuple[Thing, Thing]] | None:
    """A relation, the answer wanted for it, and two things for which that is the truth."""
    relation = random.choice(list(RELATIONS))
    answer = balance.wanted(f"{kind}: {relation}", random)
    pairs = [
        (a, b)
        for a, b in permutations(scene.things, 2)
        if holds(relation, a.cell, b.cell) == (answer == "yes")
    ]
    if not pairs:
        return None
    return relation, answer, random.choice(pairs)


def _called(thing: Thing, random: Random) -> str:
    return f"{thing.colour} {random.choice((thing.shape, 'object'))}"


def _not_there(scene: Scene, thing: Thing, random: Random) -> tuple[str, str]:
    """Its colour with a wrong shape, or its shape with a colour that no such thing here has."""
    if random.random() < 0.5:
        return thing.colour, random.choice([other for other in SHAPES if other != thing.shape])
    taken = {other.colour for other in scene.things if other.shape == thing.shape}
    return random.choice([colour for colour in COLOURS if colour not in taken]), thing.shape
