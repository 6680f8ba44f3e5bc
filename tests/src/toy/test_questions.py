from collections import Counter, defaultdict
from random import Random

import pytest

from feature_atlas.toy.balance import Balance
from feature_atlas.toy.questions import ASKERS, ask_some
from feature_atlas.toy.relations import RELATIONS, holds
from feature_atlas.toy.scene import COLOURS, SHAPES, Scene, Sign, Thing, random_scene

SCENE = Scene(
    (Thing("red", "circle", 0), Thing("blue", "circle", 6), Thing("green", "cross", 15)),
    Sign("k", 4),
)
CELLS = {"red": 0, "blue": 6, "green": 15}


def asked(kind: str, scene: Scene = SCENE, n: int = 60) -> dict[str, str]:
    """Question text to answer, of many questions of one kind."""
    random, balance = Random(0), Balance()
    questions = [ASKERS[kind](scene, balance, random) for _ in range(n)]
    for question in filter(None, questions):
        if question.is_yes_no:
            balance.record(question.balance_key, question.answer)
    return {question.text: question.answer for question in questions if question}


@pytest.mark.parametrize("kind", ["spatial", "statement"])
def test_a_spatial_answer_is_the_truth_of_the_two_cells_it_names(kind):
    random, balance = Random(0), Balance()
    for _ in range(300):
        question = ASKERS[kind](SCENE, balance, random)
        if question is None:
            continue
        a, b = (CELLS[word] for word in question.text.split() if word in CELLS)
        assert question.relation in question.text
        assert question.cells == (a, b)
        assert question.answer == ("yes" if holds(question.relation, a, b) else "no")


def test_where_is_answered_by_row_and_column():
    answers = asked("where")

    assert answers["Where is the blue circle?"] == "row two column y"
    assert answers["Where is the green object?"] == "row four column z"


def test_a_thing_exists_if_colour_and_shape_are_one_thing():
    answers = asked("exists", n=400)

    assert answers["Is there a red circle?"] == "yes"
    assert answers["Is there a green cross?"] == "yes"
    assert answers["Is there a red cross?"] == "no"
    assert answers["Is there a green circle?"] == "no"
    assert [text for text, answer in answers.items() if answer == "yes"] != []
    assert sum(answer == "yes" for answer in answers.values()) == 3


def test_a_count_is_of_things_and_not_of_signs():
    answers = asked("count", n=200)

    assert answers["How many objects are there?"] == "3"
    assert answers["How many circles are there?"] == "2"
    assert answers["How many crosses are there?"] == "1"
    assert answers["How many stars are there?"] == "0"


def test_a_colour_is_asked_only_of_a_shape_that_is_there_once():
    assert asked("colour") == {"What color is the cross?": "green"}


def test_a_shape_is_asked_by_colour():
    assert asked("shape")["What shape is the red object?"] == "circle"


def test_an_attribute_is_true_of_the_thing_with_that_colour():
    answers = asked("attribute", n=400)

    assert answers["Is the red object a circle?"] == "yes"
    assert answers["Is the red object a star?"] == "no"


def test_a_sign_says_its_letter():
    assert asked("sign") == {"What does the sign say?": "k"}
    assert asked("sign_says")["Does the sign say k?"] == "yes"
    assert asked("sign_says")["Does the sign say s?"] == "no"


def test_without_a_sign_nothing_is_asked_of_it_but_whether_it_is_there():
    empty = Scene(SCENE.things)

    assert asked("sign", empty) == asked("sign_says", empty) == {}
    assert asked("sign_exists", empty, n=1) in ({}, {"Is there a sign?": "no"})


def test_the_image_is_described_by_places_and_positions_by_relations():
    assert set(asked("describe")) == {"Describe the image."}
    described = asked("describe")["Describe the image."]
    assert "row" in described
    answers = asked("positions")
    assert set(answers) == {"Describe the positions of objects in the image."}
    assert "row" not in next(iter(answers.values()))


def many_questions(n_scenes: int) -> list:
    random, balance = Random(1), Balance()
    kinds = dict.fromkeys(ASKERS, 1.0) | {"spatial": 4.0}
    return [
        question
        for _ in range(n_scenes)
        for question in ask_some(random_scene(random), kinds, 8, balance, random)
    ]


def test_yes_and_no_are_equally_frequent_in_every_kind_and_relation():
    counts: dict[str, Counter] = defaultdict(Counter)
    for question in many_questions(1500):
        if question.is_yes_no:
            counts[question.balance_key][question.answer] += 1

    assert {f"spatial: {relation}" for relation in RELATIONS} <= set(counts)
    for key, answers in counts.items():
        assert abs(answers["yes"] - answers["no"]) <= 1, key


def test_no_word_gives_the_answer_away():
    counts: dict[str, Counter] = defaultdict(Counter)
    for question in many_questions(4000):
        if question.is_yes_no:
            for word in set(COLOURS + SHAPES) & set(question.text.rstrip("?.").split()):
                counts[word][question.answer] += 1

    for word, answers in counts.items():
        assert 0.45 < answers["yes"] / answers.total() < 0.55, word


def test_a_scene_is_not_asked_the_same_twice():
    random, balance = Random(0), Balance()

    questions = ask_some(SCENE, {"where": 1.0}, 6, balance, random)

    assert len({question.text for question in questions}) == 6


def test_asking_for_more_than_there_is_says_so():
    with pytest.raises(ValueError, match=r"1 different questions .*wanted 2; ask for fewer"):
        ask_some(SCENE, {"sign": 1.0}, 2, Balance(), Random(0))
