"""Localisation scores against numbers by hand, a brute-force raster and a bootstrap in loops."""

import numpy as np
import pytest

from feature_atlas.heads.localisation import (
    CONTRASTS,
    KINDS,
    Located,
    OnObjects,
    compare,
    named_objects,
    object_patches,
    on_objects,
)
from feature_atlas.vlm.processor_geometry import Box, Geometry

WHOLE = Geometry(1, 1, 0, 0, 40, 40)  # seen as it is


def test_a_head_with_half_of_its_attention_on_an_eighth_of_the_patches_by_hand() -> None:
    patches = np.zeros((4, 4), bool)
    patches[0, 0] = patches[1, 2] = True
    weights = np.full(16, 0.01)
    weights[0], weights[6] = 0.04, 0.10

    score = on_objects(weights, patches)

    assert score is not None
    assert score.share == pytest.approx(0.14 / 0.28)
    assert score.area == 2 / 16
    assert score.lift == pytest.approx(4)


def test_a_head_that_looks_anywhere_alike_has_lift_1() -> None:
    patches = np.random.default_rng(4).random((5, 7)) < 0.4
    patches[2, 2] = True

    score = on_objects(np.full(35, 0.002), patches)

    assert score is not None
    assert score.lift == pytest.approx(1)


def test_nothing_seen_or_nothing_looked_at_has_no_score() -> None:
    assert on_objects(np.ones(4), np.zeros((2, 2), bool)) is None
    assert on_objects(np.zeros(4), np.ones((2, 2), bool)) is None


@pytest.mark.parametrize("seed", range(5))
def test_patches_of_objects_are_those_of_a_brute_force_raster(seed: int) -> None:
    """Whole pixels only: every pixel of a box is followed through the processor, one by one."""
    random = np.random.default_rng(seed)
    width, height, rows = 60, 40, 4
    seen = Geometry(0.8, 0.8, -8, 0, 32, 32)  # 60 x 40 to 48 x 32, 8 cut off on either side
    boxes = []
    covered = np.zeros((rows, rows))
    for _ in range(3):
        left, top = int(random.integers(width - 5)), int(random.integers(height - 5))
        box = Box(left, top, left + int(random.integers(2, 30)), top + int(random.integers(2, 30)))
        boxes.append(box)
        for x in np.arange(box.left, box.right, 0.05) + 0.025:
            for y in np.arange(box.top, box.bottom, 0.5) + 0.25:
                column, row = (0.8 * x - 8) // 8, 0.8 * y // 8
                if 0 <= column < rows and 0 <= row < rows:
                    covered[int(row), int(column)] += 1

    patches = object_patches(boxes, seen, rows, rows)

    # one pixel of the picture is 0.8 x 0.8 of a patch's 8 x 8: exactly 1 %, hit 40 times
    assert (patches == (covered >= 40)).all()


def test_a_box_that_ends_on_the_edge_of_a_patch_does_not_count_the_next() -> None:
    third = Geometry(1 / 3, 1 / 3, 0, 0, 40, 40)

    patches = object_patches([Box(30, 60, 60, 90)], third, 4, 4)

    assert patches.sum() == 1
    assert patches[2, 1]


def test_an_object_in_what_was_cut_away_is_on_no_patch() -> None:
    assert not object_patches([Box(0, 0, 9, 40)], Geometry(1, 1, -10, 0, 40, 40), 4, 4).any()


VOCABULARY = ("dog", "hot dog", "dining table", "cat", "bus", "person")


@pytest.mark.parametrize(
    ("question", "objects"),
    [
        ("Is the dog under the Dining Table?", ["dog", "dining table"]),
        ("Is the cat left of the hot dog?", ["cat", "hot dog"]),  # and no dog is meant
        ("Is the doghouse red, near the cat?", ["cat"]),
        ("Where is it?", None),  # names nothing
        ("Are the dogs near the cat?", None),  # several are meant
        ("Is the person near the cat?", None),  # there are two persons
        ("Is the bus red?", None),  # there is none
    ],
)
def test_the_objects_that_a_question_names(question: str, objects: list[str] | None) -> None:
    here = ["person", "cat", "dog", "dining table", "person", "hot dog"]

    found = named_objects(question, here, VOCABULARY)

    assert (found and sorted(here[i] for i in found)) == (objects and sorted(objects))


def test_without_a_vocabulary_nothing_is_named() -> None:
    assert named_objects("Is the dog here?", [], ()) is None


def random_pairs(n: int, n_pictures: int, gain: float, seed: int) -> list[Located]:
    random = np.random.default_rng(seed)

    def score(kind: str) -> OnObjects:
        area = float(random.choice([1 / 16, 2 / 16]))
        share = area * random.uniform(0.5, 1.5) * (1 + gain * (kind == "top"))
        return OnObjects(float(share), area)

    return [
        Located(int(random.integers(n_pictures)), {kind: [score(kind)] * 2 for kind in KINDS})
        for _ in range(n)
    ]


def test_comparisons_against_loops_over_pictures() -> None:
    pairs = random_pairs(60, 12, gain=0.5, seed=3)

    found = {row.what: row for row in compare(pairs, n_draws=4000, seed=1)}

    assert list(found) == ["top", "bottom", "random", "top - bottom", "top - random"]
    lifts = {kind: np.array([p.scores[kind][0].lift for p in pairs]) for kind in KINDS}
    lifts |= {f"{a} - {b}": lifts[a] - lifts[b] for a, b in CONTRASTS}
    pictures = np.array([p.picture for p in pairs])
    random = np.random.default_rng(8)
    for name, values in lifts.items():
        assert found[name].lift == pytest.approx(values.mean())
        groups = [values[pictures == picture] for picture in np.unique(pictures)]
        means = [
            np.concatenate(
                [groups[i] for i in random.integers(len(groups), size=len(groups))]
            ).mean()
            for _ in range(2000)
        ]
        spread = np.std(means)
        low, high = np.quantile(means, (0.025, 0.975))
        assert found[name].lift_low == pytest.approx(low, abs=0.3 * spread)
        assert found[name].lift_high == pytest.approx(high, abs=0.3 * spread)
        assert found[name].lift_low < found[name].lift < found[name].lift_high


def test_heads_that_localise_differ_and_those_that_do_not_do_not() -> None:
    better = {row.what: row for row in compare(random_pairs(200, 60, gain=1.0, seed=5))}
    same = {row.what: row for row in compare(random_pairs(200, 60, gain=0.0, seed=6))}

    for contrast in ("top - bottom", "top - random"):
        assert better[contrast].lift_low > 0.5
        assert better[contrast].share_low > 0
        assert same[contrast].lift_low < 0.1
        assert same[contrast].lift_high > -0.1
    assert same["top"].lift == pytest.approx(1, abs=0.1)


def test_one_picture_says_nothing_about_others() -> None:
    pair = random_pairs(1, 1, gain=0, seed=0)[0]

    assert compare([pair, pair]) == []
    assert compare([]) == []


def test_a_pair_without_heads_of_every_kind_is_left_out() -> None:
    pairs = random_pairs(20, 5, gain=0, seed=0)
    lopsided = Located(99, {**pairs[0].scores, "random": []})

    assert compare([*pairs, lopsided], seed=2) == compare(pairs, seed=2)
