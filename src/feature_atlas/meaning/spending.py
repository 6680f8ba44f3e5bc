"""What requests cost, and the point at which no further one is sent.

A request is reserved at its estimate before it leaves and settled at what the endpoint reports.
Estimates are raised by the largest excess seen so far, so that an endpoint that counts more tokens
than was thought does not break the budget. Tokens whose price is unknown cost None, not nothing.
"""

from collections.abc import Mapping
from threading import Lock
from typing import NamedTuple

GO_ON = "What was answered is kept and not paid again: raise the budget and build again to go on."


class Tokens(NamedTuple):
    """Of one or several requests to one model."""

    prompt: int
    """Sent, pictures included."""
    reply: int
    """Received."""


class Price(NamedTuple):
    """Of one model."""

    usd_per_million_prompt_tokens: float
    usd_per_million_reply_tokens: float


class BudgetSpentError(RuntimeError):
    """The next request could cost more than is left."""


class Spending:
    """Tokens and dollars of a stage, over all its threads and models."""

    def __init__(
        self,
        prices: Mapping[str, Price],
        *,
        budget_usd: float | None = None,
        budget_tokens: int | None = None,
    ) -> None:
        self.prices = prices
        self.budget_usd, self.budget_tokens = budget_usd, budget_tokens
        self.n_tokens, self.usd = 0, 0.0
        """Spent, or reserved by requests that are out."""
        self._excess = 1.0
        self._lock = Lock()

    def cost(self, model: str, tokens: Tokens) -> float | None:
        """US dollars; None if the model's price is not known."""
        price = self.prices.get(model)
        if price is None:
            return None
        return (
            tokens.prompt * price.usd_per_million_prompt_tokens
            + tokens.reply * price.usd_per_million_reply_tokens
        ) / 1e6

    def reserve(self, model: str, estimate: Tokens) -> Tokens:
        """Set money aside for a request; the error says that there is not enough left."""
        with self._lock:
            tokens = Tokens(round(estimate.prompt * self._excess), estimate.reply)
            usd = self._usd(model, tokens)
            if self.budget_usd is not None and self.usd + usd > self.budget_usd:
                raise BudgetSpentError(
                    f"the budget of ${self.budget_usd:,.4g} is spent: ${self.usd:,.4g} are gone "
                    f"and the next request may cost ${usd:,.4g}. {GO_ON}"
                )
            if self.budget_tokens is not None and self.n_tokens + sum(tokens) > self.budget_tokens:
                raise BudgetSpentError(
                    f"the budget of {self.budget_tokens:,} tokens is spent: {self.n_tokens:,} are "
                    f"gone and the next request may take {sum(tokens):,}. {GO_ON}"
                )
            self._add(model, tokens, 1)
            return tokens

    def settle(self, model: str, reserved: Tokens, used: Tokens) -> None:
        """Replace what was reserved by what was used."""
        with self._lock:
            self._add(model, reserved, -1)
            self._add(model, used, 1)
            if reserved.prompt:
                self._excess *= max(1.0, used.prompt / reserved.prompt)

    def spent_before(self, model: str, tokens: Tokens) -> None:
        """Count what an earlier process has spent."""
        with self._lock:
            self._add(model, tokens, 1)

    def _add(self, model: str, tokens: Tokens, sign: int) -> None:
        self.n_tokens += sign * sum(tokens)
        self.usd += sign * self._usd(model, tokens)

    def _usd(self, model: str, tokens: Tokens) -> float:
        """For the budget; a budget in dollars wants a price of every model beforehand."""
        return self.cost(model, tokens) or 0.0
