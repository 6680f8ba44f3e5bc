"""Counts against dense codes, and every column of the table against its definition."""

import numpy as np
import pytest
import scipy.stats
import torch

from feature_atlas.dictionary.codes import SparseCodes
from feature_atlas.features.firing_shift import FiringCounts, firing_shift

D_SAE, K = 9, 3


def random_codes(n_tokens: int) -> SparseCodes:
    indices = torch.rand(n_tokens, D_SAE).topk(K).indices
    return SparseCodes(torch.randn(n_tokens, K).relu(), indices)


def counted(codes: SparseCodes, question: torch.Tensor) -> FiringCounts:
    counts = FiringCounts.empty(D_SAE)
    counts.add(codes, question)
    return counts


def test_counts_by_hand() -> None:
    counts = FiringCounts.empty(3)
    codes = SparseCodes(torch.tensor([[1.0, 2.0], [1.0, 0.0], [5.0, 1.0], [1.0, 1.0]]),
                        torch.tensor([[0, 1], [0, 2], [1, 0], [2, 1]]))  # fmt: skip

    counts.add(codes, torch.tensor([70, 70, 80, -1]))  # two questions, and a token not counted

    assert counts.tokens_fired.tolist() == [3, 2, 0]
    assert counts.questions_fired.tolist() == [2, 2, 0]
    assert (counts.tokens, counts.questions) == (3, 2)


def test_counts_equal_those_of_dense_codes_whatever_the_batches() -> None:
    codes, question = random_codes(300), torch.randint(-1, 40, (300,)).sort().values
    fires = torch.zeros(300, D_SAE).scatter(1, codes.indices, codes.values) > 0

    whole, pieces = counted(codes, question), FiringCounts.empty(D_SAE)
    for first in range(-1, 40, 7):  # whole questions, in another order
        rows = ((question >= first) & (question < first + 7)).nonzero()[:, 0].flip(0)
        pieces.add(SparseCodes(codes.values[rows], codes.indices[rows]), question[rows])

    by_question = torch.stack([fires[question == q].any(0) for q in question.unique() if q >= 0])
    assert torch.equal(whole.tokens_fired, fires[question >= 0].sum(0))
    assert torch.equal(whole.questions_fired, by_question.sum(0))
    assert (whole.tokens, whole.questions) == ((question >= 0).sum(), len(by_question))
    assert all(torch.equal(a, b) for a, b in zip(whole, pieces, strict=True))


def test_base_minus_skill_is_what_counting_the_others_gives() -> None:
    codes, question = random_codes(200), torch.arange(200) // 5
    is_skill = question % 3 == 0

    everything = counted(codes, question)
    skill = counted(codes, question.masked_fill(~is_skill, -1))
    others = counted(codes, question.masked_fill(is_skill, -1))

    assert all(torch.equal(a, b) for a, b in zip(everything.minus(skill), others, strict=True))


def test_shift_by_hand() -> None:
    one = FiringCounts(*(torch.tensor(c) for c in ([9], 10, [3], 4)))
    other = FiringCounts(*(torch.tensor(c) for c in ([4], 23, [0], 6)))

    shift = firing_shift([one], [other])

    assert shift.delta_p == pytest.approx(9 / 10 - 4 / 23)
    assert shift.odds_ratio == pytest.approx((9.5 * 19.5) / (1.5 * 4.5))
    assert shift.question_delta_p == pytest.approx(3 / 4)
    assert shift.question_odds_ratio == pytest.approx((3.5 * 6.5) / (1.5 * 0.5))
    assert shift.has_zero_cell.tolist() == [True]


def test_every_column_follows_from_the_four_counts() -> None:
    skill = [counted(random_codes(60), torch.arange(60) // 4) for _layer in range(3)]
    base = [counted(random_codes(90), torch.arange(90) // 3) for _layer in range(3)]

    shift = firing_shift(skill, base)

    layer, feature = 2, 5
    row = layer * D_SAE + feature
    a, b = int(skill[layer].questions_fired[feature]), int(base[layer].questions_fired[feature])
    cells = np.array([a, 15 - a, b, 30 - b]) + 0.5
    error = np.sqrt((1 / cells).sum())
    log_ratio = np.log(cells[0] * cells[3] / cells[1] / cells[2])
    p_values = 2 * scipy.stats.norm.sf(abs(log_ratio) / error)
    assert shift.fired_skill[row] == skill[layer].tokens_fired[feature]
    assert shift.questions_fired_base[row] == b
    assert (shift.tokens_skill[row], shift.questions_base[row]) == (60, 30)
    assert shift.question_delta_p[row] == pytest.approx(a / 15 - b / 30)
    assert shift.p_value[row] == pytest.approx(p_values)
    assert shift.question_odds_ratio_high[row] == pytest.approx(
        np.exp(log_ratio + 1.96 * error), rel=1e-4
    )
    np.testing.assert_allclose(shift.q_value, scipy.stats.false_discovery_control(shift.p_value))
    assert (shift.odds_ratio_low < shift.odds_ratio).all()
    assert all(len(column) == 3 * D_SAE and np.isfinite(column).all() for column in shift)


def test_a_feature_that_ever_fires_and_one_that_never_does_do_not_shift() -> None:
    codes = SparseCodes(torch.ones(12, 1), torch.zeros(12, 1, dtype=torch.int64))

    shift = firing_shift([counted(codes, torch.arange(12))], [counted(codes, torch.arange(12))])

    np.testing.assert_array_equal(shift.delta_p, 0)
    np.testing.assert_allclose(shift.odds_ratio, 1)
    np.testing.assert_allclose(shift.q_value, 1)


def test_firing_twice_as_often_is_found_and_tested_by_question() -> None:
    generator = torch.Generator().manual_seed(0)
    often = (torch.rand(4000, 1, generator=generator) < 0.4).float()
    seldom = (torch.rand(4000, 1, generator=generator) < 0.2).float()
    feature = torch.zeros(4000, 1, dtype=torch.int64)
    question = torch.arange(4000) // 40  # so long that it fires in all of them

    shift = firing_shift([counted(SparseCodes(often, feature), question)],
                         [counted(SparseCodes(seldom, feature), question)])  # fmt: skip

    assert shift.delta_p[0] == pytest.approx(0.2, abs=0.03)
    assert shift.odds_ratio[0] == pytest.approx(8 / 3, rel=0.15)
    assert shift.question_odds_ratio[0] == pytest.approx(1)
    assert shift.q_value[0] == 1


def test_splits_that_cannot_be_compared_are_refused() -> None:
    some = counted(random_codes(10), torch.arange(10))
    none = counted(random_codes(10), torch.full((10,), -1))
    with pytest.raises(
        ValueError, match=r"skill split has no questions in layer\(s\) \[1\].*filter"
    ):
        firing_shift([some, none], [some, some])
    with pytest.raises(ValueError, match=r"base split has no questions in layer\(s\) none given"):
        firing_shift([some], [])
    with pytest.raises(ValueError, match="18 features in the skill split, 9 in the base split"):
        firing_shift([some, some], [some])
    with pytest.raises(ValueError, match="must be among those of the base set"):
        none.minus(some)
    with pytest.raises(ValueError, match="counts of 9 features less counts of 4"):
        some.minus(FiringCounts.empty(4))
    with pytest.raises(ValueError, match=r"codes of 5 tokens, question numbers \[4\]"):
        some.add(random_codes(5), torch.arange(4))
