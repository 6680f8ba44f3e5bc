"""Plurals that questions use, against a list made by hand."""

import pytest

from feature_atlas.heads.localisation import named_objects
from feature_atlas.heads.plural import plurals

BY_HAND = """
    person people, person persons, man men, woman women, snowman snowmen, child children,
    knife knives, leaf leaves, loaf loaves, shelf shelves, scarf scarves, scarf scarfs, wolf wolves,
    calf calves, foot feet, tooth teeth, goose geese, mouse mice, ox oxen, die dice, puppy puppies,
    butterfly butterflies, bus buses, bus busses, bench benches, toothbrush toothbrushes,
    potato potatoes, box boxes, dish dishes, sandwich sandwiches, cactus cacti, cactus cactuses,
    boy boys, giraffe giraffes, tie ties, vase vases, zebra zebras, pie pies, quiz quizzes
"""
PAIRS = [tuple(pair.split()) for pair in BY_HAND.split(",")]


@pytest.mark.parametrize(("one", "several"), PAIRS)
def test_a_plural_is_known_and_makes_a_question_unclear(one: str, several: str) -> None:
    assert several in plurals(one)
    assert one not in plurals(one)
    vocabulary = {one, "cat", f"steak {one}"}

    assert named_objects(f"Is the cat near the {one}?", ["cat", one], vocabulary) == [0, 1]
    for asked in (several, several.upper(), f"steak {several}", f"{several}'"):
        assert named_objects(f"Is the cat near the {asked}?", ["cat", one], vocabulary) is None


def test_a_name_that_looks_like_a_plural_of_another_is_a_name() -> None:
    vocabulary = {"glass", "glasses", "wine glass", "skis", "scissors", "sheep"}

    assert named_objects("Are the glasses broken?", ["glasses"], vocabulary) == [0]
    assert named_objects("Are the skis above the sheep?", ["sheep", "skis"], vocabulary) == [0, 1]
    assert named_objects("Are the wine glasses full?", ["wine glass"], vocabulary) is None
