"""A budget holds whatever comes back, and however many ask at once."""

from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from feature_atlas.meaning.spending import BudgetSpentError, Price, Spending, Tokens

PRICES = {"big": Price(10.0, 40.0)}


def test_costs_by_hand() -> None:
    spending = Spending(PRICES)

    assert spending.cost("big", Tokens(1_000_000, 500_000)) == pytest.approx(30.0)
    assert spending.cost("other", Tokens(1, 1)) is None


def test_the_next_request_must_fit_with_those_that_are_out() -> None:
    spending = Spending(PRICES, budget_usd=0.0025)
    out = spending.reserve("big", Tokens(100, 25))  # 0.002

    with pytest.raises(BudgetSpentError, match=r"budget of \$0.0025 is spent: \$0.002 are gone"):
        spending.reserve("big", Tokens(100, 25))
    spending.settle("big", out, Tokens(10, 2))
    spending.reserve("big", Tokens(100, 25))

    assert spending.usd == pytest.approx(0.00018 + 0.002)


def test_what_an_earlier_process_spent_counts() -> None:
    spending = Spending({}, budget_tokens=1000)
    spending.spent_before("any", Tokens(900, 50))

    with pytest.raises(BudgetSpentError, match="950 are gone and the next request may take 60"):
        spending.reserve("any", Tokens(50, 10))


def test_the_budget_holds_though_the_endpoint_counts_more_than_was_thought() -> None:
    """Estimates learn from the largest excess; the first request may still pass its own."""
    random, spending, n_sent = Random(1), Spending({}, budget_tokens=50_000), 0

    def spend() -> None:
        nonlocal n_sent
        while True:
            out = spending.reserve("any", Tokens(100, 20))
            n_sent += 1
            spending.settle("any", out, Tokens(int(100 * random.uniform(2.9, 3.0)), 20))

    with pytest.raises(BudgetSpentError):
        spend()
    assert 0.98 * 50_000 < spending.n_tokens <= 50_000
    assert n_sent < 180


def test_many_threads_never_pass_the_budget_together() -> None:
    spending = Spending({}, budget_tokens=1000)

    def ask(_: int) -> bool:
        try:
            out = spending.reserve("any", Tokens(9, 1))
        except BudgetSpentError:
            return False
        spending.settle("any", out, Tokens(9, 1))
        return True

    with ThreadPoolExecutor(8) as pool:
        sent = sum(pool.map(ask, range(400)))

    assert (sent, spending.n_tokens) == (100, 1000)
