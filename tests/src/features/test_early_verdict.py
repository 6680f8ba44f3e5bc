"""How often fewer samples give another verdict: every set of samples in every order, and drawn."""

from itertools import permutations, product

import pytest
import torch

from feature_atlas.features.early_verdict import enough, looks
from feature_atlas.features.neutral_prompt import survives

HALVES = {"min_share": 0.5, "max_mean_share": 0.5}
FIRED, FIRED_MEAN = (0, 0, 1, 1), (0, 1, 0, 1)  # of the four kinds of samples


def verdict(fired: int, n: int, fired_mean: int, **shares: float) -> bool:
    counts = (torch.tensor(count) for count in (fired, n, fired_mean))
    return bool(survives(*counts, **shares))


def stopped(order: tuple[int, ...], at: tuple[int, ...], **rule: float) -> tuple[int, int, int]:
    """How many were asked, on how many it fired, and on how many mean images."""
    may_stop = enough(len(order), at, **rule)
    for n in at:
        seen = order[:n]
        fired, fired_mean = sum(FIRED[k] for k in seen), sum(FIRED_MEAN[k] for k in seen)
        if n == len(order) or may_stop[n][fired, fired_mean]:
            return n, fired, fired_mean
    raise AssertionError("the last look is after all samples")


@pytest.mark.parametrize(
    ("max_error", "min_share", "max_mean_share"),
    [(0.0, 0.5, 0.5), (0.05, 0.5, 0.5), (0.2, 0.5, 0.5), (0.2, 0.3, 0.9), (0.1, 1.0, 0.0)],
)
def test_no_set_of_samples_gets_another_verdict_in_more_orders_than_the_error(
    max_error: float, min_share: float, max_mean_share: float
) -> None:
    shares, n = {"min_share": min_share, "max_mean_share": max_mean_share}, 5
    at, worst, n_asked = (2, 3, 4, 5), 0.0, []
    for numbers in product(range(n + 1), repeat=4):
        if sum(numbers) != n:
            continue
        samples = [kind for kind in range(4) for _ in range(numbers[kind])]
        fired, fired_mean = numbers[2] + numbers[3], numbers[1] + numbers[3]
        whole = verdict(fired, n, fired_mean, **shares)
        wrong = [
            verdict(f, asked, m, **shares) != whole
            for order in permutations(samples)
            for asked, f, m in [stopped(order, at, max_error=max_error, n_prompts=1, **shares)]
            if not n_asked.append(asked)
        ]
        worst = max(worst, sum(wrong) / len(wrong))

    assert worst <= max_error
    assert sum(n_asked) < n * len(n_asked)
    if max_error == 0.2:
        assert worst > 0  # the error that is allowed is made use of


@pytest.mark.parametrize(("n_prompts", "max_error"), [(1, 0.05), (3, 0.05), (3, 0.0)])
def test_of_random_candidates_fewer_than_the_error_get_another_verdict(
    n_prompts: int, max_error: float
) -> None:
    noise, n, n_features = torch.Generator().manual_seed(1), 10, 1000
    shape = (n_features, n_prompts, 2)
    shares = torch.rand(*shape, 1, generator=noise) * torch.tensor([[1.0], [0.6]])
    fires = torch.rand(*shape, n, generator=noise) < shares  # own picture, mean image
    kinds = (2 * fires[:, :, 0] + fires[:, :, 1]).flatten(0, 1).tolist()
    rule = {"n_prompts": n_prompts, "max_error": max_error, **HALVES}

    found = [stopped(tuple(order), tuple(looks(n)), **rule) for order in kinds]

    n_asked, fired, fired_mean = torch.tensor(found).unbind(1)
    early = survives(fired, n_asked, fired_mean).view(n_features, -1).any(1)
    late = survives(fires[:, :, 0].sum(2), torch.full(shape[:2], n), fires[:, :, 1].sum(2)).any(1)
    assert (early != late).double().mean() <= max_error
    assert 0.2 < late.double().mean() < 0.8
    assert n_asked.double().mean() < (7.6 if max_error else 8)


def test_by_hand() -> None:
    of_four = enough(4, (2, 3, 4), n_prompts=1, max_error=0.0, **HALVES)

    # after 3, none fired: one more gives 1 of 4, too few; one fired: the last may be the second
    assert of_four[3][0, 0]
    assert not of_four[3][1, 0]
    # 2 fired, none on the mean image: one more there is half of 2 and is allowed
    assert of_four[3][2, 0]
    assert not of_four[3][2, 1]
    # 2 mean images after 2, and the feature cannot come to fire on 4 pictures any more
    assert of_four[2].nonzero().tolist() == [[0, 2], [1, 2]]


def test_looks_begin_at_two_fifths_and_end_with_all() -> None:
    assert looks(10) == [4, 5, 6, 7, 8, 9, 10]
    assert looks(20) == [8, 10, 12, 14, 16, 18, 20]
    assert looks(1) == [1]
    assert looks(0) == []
    with pytest.raises(ValueError, match="25 samples: expected at most 24"):
        enough(25, (10, 25), n_prompts=1, max_error=0.0, **HALVES)
