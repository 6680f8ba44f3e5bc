"""Samples kept apart, and their firing tokens marked."""

import pytest
from numbered_sample import sample

from feature_atlas.interp_samples import Sample, choose_samples, firing, marked_text


def test_descriptions_and_scores_never_share_a_picture() -> None:
    active = [sample(n, image_id=n // 2) for n in range(20)]  # ten pictures, two questions each
    silent = [sample(100 + n, relation=None) for n in range(30)]

    chosen = choose_samples(active, silent, n_describe=5, n_positive=8, n_negative=9)

    assert chosen.describe == active[0:10:2]  # the first question of each of the top five pictures
    assert len(chosen.positives) == 8
    described = {s.image_id for s in chosen.describe}
    assert described.isdisjoint(s.image_id for s in chosen.positives)
    assert len(set(chosen.negatives)) == 9
    assert chosen == choose_samples(active, silent, n_describe=5, n_positive=8, n_negative=9)


def test_a_third_of_the_negatives_shares_a_picture_and_a_third_the_relation() -> None:
    active = [sample(n) for n in range(10)]
    same_picture = [sample(100 + n, relation="count", image_id=n) for n in range(10)]
    same_relation = [sample(200 + n) for n in range(10)]
    others = [sample(300 + n, relation=None) for n in range(1000)]

    negatives = choose_samples(
        active, same_picture + same_relation + others, n_negative=9
    ).negatives

    kinds = ["picture" if s.image_id < 10 else s.relation for s in negatives]
    assert kinds[:6] == ["picture"] * 3 + ["above"] * 3
    assert len(negatives) == 9


def test_a_feature_with_few_pictures_keeps_half_for_scoring() -> None:
    chosen = choose_samples([sample(n) for n in range(4)], [sample(9)])

    assert (len(chosen.describe), len(chosen.positives)) == (2, 2)
    with pytest.raises(ValueError, match="1 pictures on which the feature fires"):
        choose_samples([sample(1), sample(2, image_id=1)], [sample(9)])


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
