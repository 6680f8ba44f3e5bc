"""Who is paired with whom: by hand, and what must hold of any pairs."""

import random
from collections import Counter

from feature_atlas.features.length_match import Kind, length_matched_pairs


def test_lengths_and_types_match_exactly_where_they_can() -> None:
    questions = [Kind(5, "is the"), Kind(5, "what"), Kind(8, "is the")]
    others = [Kind(8, "what"), Kind(5, "is the"), Kind(8, "is the"), Kind(5, "what"), Kind(9, "is")]

    pairs = length_matched_pairs(questions, others)

    assert pairs == [(0, 1), (1, 3), (2, 2)]


def test_length_goes_before_type_and_the_nearest_before_the_next() -> None:
    questions = [Kind(6, "is the")]

    assert length_matched_pairs(questions, [Kind(7, "is the"), Kind(6, "what")], caliper=1) == [
        (0, 1)
    ]
    assert length_matched_pairs(questions, [Kind(8, "is the"), Kind(7, "what")], caliper=2) == [
        (0, 1)
    ]


def test_what_is_too_long_stays_out() -> None:
    questions, others = [Kind(4, None), Kind(9, None)], [Kind(4, None), Kind(6, None)]

    assert length_matched_pairs(questions, others, caliper=2) == [(0, 0)]
    assert length_matched_pairs(questions, others, caliper=3) == [(0, 0), (1, 1)]
    assert length_matched_pairs(questions, []) == []


def test_no_partner_twice_within_the_caliper_and_the_same_every_time() -> None:
    types = ("is the", "what", None)
    questions, others = (
        [Kind(random.randint(4, 12), random.choice(types)) for _ in range(n)] for n in (150, 400)
    )

    pairs = length_matched_pairs(questions, others, caliper=1, seed=5)

    assert len({pair.control for pair in pairs}) == len({p.question for p in pairs}) == len(pairs)
    gaps = Counter(questions[p.question].n_tokens - others[p.control].n_tokens for p in pairs)
    assert set(gaps) <= {-1, 0, 1}
    assert pairs == length_matched_pairs(questions, others, caliper=1, seed=5)
    assert pairs != length_matched_pairs(questions, others, caliper=1, seed=6)


def test_the_pairs_have_one_distribution_of_lengths_and_types() -> None:
    questions = [Kind(n, "is the") for n in (5, 5, 6, 9)] + [Kind(5, "what")]
    others = [Kind(n, t) for n in (5, 6, 7, 9) for t in ("is the", "what") for _ in range(3)]

    pairs = length_matched_pairs(questions, others)

    assert Counter(questions[p.question] for p in pairs) == Counter(
        others[p.control] for p in pairs
    )
    assert len(pairs) == 5
