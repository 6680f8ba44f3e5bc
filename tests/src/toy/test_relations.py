import pytest

from feature_atlas.toy.relations import RELATIONS, cell_distance, holds

# The grid, for working these by hand:
#    0  1  2  3
#    4  5  6  7
#    8  9 10 11
#   12 13 14 15
TRUE = [
    ("left of", 4, 7),
    ("left of", 12, 1),
    ("right of", 3, 0),
    ("right of", 2, 13),
    ("above", 1, 5),
    ("above", 3, 12),
    ("below", 15, 3),
    ("below", 8, 7),
    ("next to", 5, 6),
    ("next to", 5, 10),
    ("far from", 0, 3),
    ("far from", 1, 14),
    ("far from", 12, 3),
]
FALSE = [
    ("left of", 7, 4),
    ("left of", 1, 13),
    ("right of", 0, 3),
    ("right of", 14, 2),
    ("above", 5, 1),
    ("above", 4, 7),
    ("below", 3, 15),
    ("below", 5, 6),
    ("next to", 5, 7),
    ("next to", 3, 4),
    ("far from", 0, 10),
    ("far from", 5, 6),
]


@pytest.mark.parametrize(("relation", "a", "b"), TRUE)
def test_a_true_relation_holds(relation, a, b):
    assert holds(relation, a, b)


@pytest.mark.parametrize(("relation", "a", "b"), FALSE)
def test_a_false_relation_does_not_hold(relation, a, b):
    assert not holds(relation, a, b)


def test_every_relation_is_worked_by_hand_both_ways():
    assert {relation for relation, _, _ in TRUE} == set(RELATIONS)
    assert {relation for relation, _, _ in FALSE} == set(RELATIONS)


def test_two_cells_apart_is_neither_next_to_nor_far():
    assert cell_distance(0, 10) == 2
    assert not holds("next to", 0, 10)
    assert not holds("far from", 0, 10)


def test_an_unknown_relation_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'behind'.*left of.*far from"):
        holds("behind", 0, 1)
