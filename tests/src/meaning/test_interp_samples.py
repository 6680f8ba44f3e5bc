"""Samples kept apart, and their firing tokens marked."""

from random import Random

import pytest
from numbered_sample import sample

from feature_atlas.meaning.interp_samples import (
    Described,
    Sample,
    TooFewSamplesError,
    choose_described,
    choose_scored,
    firing,
    marked_text,
    names_one,
)


def test_descriptions_and_scores_never_share_a_picture() -> None:
    random = Random(0)
    active = [sample(n, image_id=random.randrange(12)) for n in range(30)]
    silent = [sample(100 + n, image_id=random.randrange(20)) for n in range(60)]

    chosen = choose_described(active, n_describe=5)
    scored = choose_scored(chosen, silent, n_positive=8, n_negative=9)

    described = {s.image_id for s in chosen.describe}
    assert len(described) == len(chosen.describe) == 5
    assert described.isdisjoint(s.image_id for s in [*scored.positives, *scored.negatives])
    assert len(set(scored.negatives)) == 9
    assert scored == choose_scored(chosen, silent, n_positive=8, n_negative=9)


def test_samples_to_describe_are_diverse() -> None:
    """Sources in turn, the strongest first, no question twice while there are others."""
    strong = [sample(n)._replace(source="vsr") for n in (1, 2, 3, 4)]
    again = sample(1, image_id=50)._replace(source="vqa")  # the same question, another picture
    weak = [sample(n)._replace(source="vqa") for n in (5, 6, 7, 8)]

    chosen = choose_described([*strong, again, *weak, sample(9), sample(10)], n_describe=4)

    assert [s.image_id for s in chosen.describe] == [1, 9, 2, 5]
    repeated = [sample(1, image_id=n) for n in range(10)]  # nothing else is asked
    assert len(choose_described(repeated, n_describe=4).describe) == 4


def test_a_third_of_the_negatives_shares_the_relation_and_a_third_a_picture() -> None:
    held_out = [sample(n) for n in range(10)]
    chosen = Described([sample(500)], held_out)
    same_picture = [sample(100 + n, relation="count", image_id=n) for n in range(10)]
    same_relation = [sample(200 + n) for n in range(10)]
    others = [sample(300 + n, relation=None) for n in range(1000)]

    scored = choose_scored(chosen, same_picture + same_relation + others, n_negative=9)

    kinds = ["picture" if s.image_id < 10 else s.relation for s in scored.negatives]
    assert kinds[:6] == ["above"] * 3 + ["picture"] * 3
    assert (len(kinds), scored.n_same_relation, scored.n_same_image) == (9, 3, 3)


def test_what_is_missing_of_a_third_is_drawn_from_the_rest() -> None:
    chosen = Described([sample(500)], [sample(n) for n in range(10)])
    others = [sample(300 + n, relation=None) for n in range(50)]

    scored = choose_scored(chosen, others, n_negative=9)

    assert (len(scored.negatives), scored.n_same_relation, scored.n_same_image) == (9, 0, 0)


def test_a_relation_is_known_by_its_words_too() -> None:
    asked = Sample("Is it to the LEFT of, say, that?", "no")

    assert names_one(asked, {"left of"})
    assert names_one(Sample("?", "no", relation="left of"), {"left of"})
    assert not names_one(Sample("Is a kleft of it?", "no"), {"left of"})


def test_a_feature_with_few_pictures_keeps_half_for_scoring() -> None:
    chosen = choose_described([sample(n) for n in range(4)])

    assert (len(chosen.describe), len(chosen.held_out)) == (2, 2)
    with pytest.raises(TooFewSamplesError, match="1 pictures on which the feature fires"):
        choose_described([sample(1), sample(2, image_id=1)])
    with pytest.raises(TooFewSamplesError, match="1 silent samples, none of a picture"):
        choose_scored(chosen, [sample(9, image_id=chosen.describe[0].image_id)])


def test_firing_tokens_are_marked() -> None:
    spaced = Sample("Is it left of it?", "yes", ("Is", " it", " left", " of", " it", "?"),
                    (0, 0, 5.0, 1.0, 0.4, 0))  # fmt: skip
    unspaced = Sample("is it above?", "no", ("is", "it", "above", "?"), (0, 0, 1.0, 0))

    assert marked_text(spaced) == "Is it **left** **of** it?"  # 0.4 is below a tenth of 5
    assert marked_text(unspaced) == "is it **above** ?"
    assert marked_text(Sample("No tokens?", "yes")) == "No tokens?"
    assert firing(unspaced._replace(activations=(0, 0, 0, 0))) == [False] * 4
    with pytest.raises(ValueError, match="2 tokens with 1 activations"):
        firing(Sample("a b", "yes", ("a", "b"), (1.0,)))


def test_a_question_cannot_mark_itself() -> None:
    forged = Sample("is **red** above?", "yes", ("is", "**red**", "above?"), (0, 0, 1.0))

    assert marked_text(forged) == "is red **above?**"
