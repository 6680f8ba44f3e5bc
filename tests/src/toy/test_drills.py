from random import Random

from feature_atlas.toy.drills import attribute_drill, fact_drill, relation_drill
from feature_atlas.toy.relations import RELATIONS, holds
from feature_atlas.toy.scene import SHAPES, Scene, Sign, Thing

SCENE = Scene((Thing("red", "circle", 0), Thing("blue", "star", 6)), Sign("k", 4))
CELLS = {"red": 0, "blue": 6}


def in_groups(drill: str, n_words: int) -> list[tuple[str, ...]]:
    words = drill.rstrip(".").split()
    return [tuple(words[i : i + n_words]) for i in range(0, len(words), n_words)]


def test_each_name_is_followed_once_by_each_true_word():
    assert sorted(in_groups(attribute_drill(SCENE, Random(0)), 2)) == [
        ("blue", "star"),
        ("blue", "two"),
        ("blue", "y"),
        ("red", "circle"),
        ("red", "one"),
        ("red", "w"),
        ("sign", "k"),
        ("sign", "two"),
        ("sign", "w"),
    ]


def test_each_pair_is_followed_by_a_relation_that_holds():
    full = {relation.split()[0]: relation for relation in RELATIONS}

    triples = in_groups(relation_drill(SCENE, Random(0), 200), 3)

    assert len(triples) == 200
    for a, b, word in triples:
        assert holds(full[word], CELLS[a], CELLS[b])


def test_facts_are_true():
    said = set()
    for seed in range(100):
        said.add(fact_drill(SCENE, Random(seed), 1).rstrip("."))

    assert {"circle red", "star blue", "circles 1", "crosses 0", "sign k yes"} <= said
    verdicts = {words for words in said if words.split()[-1] in ("yes", "no")}
    for verdict in verdicts:
        name, word, answer = verdict.split()
        truth = {"red": "circle", "blue": "star", "sign": "k"}[name]
        assert answer == ("yes" if word == truth else "no")
    counts = {words for words in said if words.split()[-1].isdigit()}
    assert len(counts) == len(SHAPES)


def test_a_shape_that_is_there_twice_has_no_colour_of_its_own():
    twins = Scene((Thing("red", "star", 0), Thing("blue", "star", 6)))

    for seed in range(100):
        assert not fact_drill(twins, Random(seed), 1).startswith("star ")
