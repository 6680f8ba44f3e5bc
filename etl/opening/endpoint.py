"""What descriptions and intruders will cost at an endpoint, and whether it can be asked at all."""

from typing import NamedTuple

from feature_atlas.etl.config.causes import InterpConfig, IntruderConfig
from feature_atlas.etl.stages.meaning.explainers import require_key, require_prices
from feature_atlas.meaning.intruder import N_SHOWN

WORDS = 60
"""Tokens of a question with its answer, and of a reply."""
INSTRUCTIONS = 300
N_ROUNDS = 2
N_SCORED = 3
"""Times a feature's samples are graded: its own sentence, another's, and without pictures."""


class Asked(NamedTuple):
    """Requests and tokens by arithmetic."""

    requests: int
    prompt: int
    reply: int


def require_endpoint(config: InterpConfig, intruder: IntruderConfig) -> str:
    """Requests and what they cost by arithmetic, in words; an error where a setting lacks."""
    asked = []
    if config.explainer == "openai":
        asked.append(_descriptions(config))
    if intruder.judge == "openai" and intruder.n_trials:
        asked.append(_intruders(config, intruder))
    if not asked:
        return "none: descriptions are made offline"
    require_prices(config)
    require_key()
    n_requests, prompt, reply = (sum(column) for column in zip(*asked, strict=True))
    return (
        f"about {n_requests:,} requests, {prompt:,} tokens to {config.model} and {reply:,} back: "
        f"{_dollars(config, prompt, reply)}, by arithmetic for {config.max_features} features"
    )


def _descriptions(config: InterpConfig) -> Asked:
    n_samples = 2 * config.n_validation
    described = config.max_features * len(config.variants)
    return Asked(
        described * (1 + N_SCORED * N_ROUNDS),
        config.max_features * sum(_prompt_tokens(config, variant) for variant in config.variants),
        described * (WORDS * (1 + N_SCORED * N_ROUNDS) + 3 * N_SCORED * n_samples),
    )


def _intruders(config: InterpConfig, intruder: IntruderConfig) -> Asked:
    n = intruder.max_features * intruder.n_trials
    shown = N_SHOWN * (config.endpoint.tokens_per_picture + WORDS)
    return Asked(n, n * (shown + INSTRUCTIONS), n * WORDS)


def _prompt_tokens(config: InterpConfig, variant: str) -> int:
    """Of one feature in one variant."""
    pictures = config.endpoint.tokens_per_picture * (3 if variant == "OVERLAY" else 1)
    n_samples = 2 * config.n_validation
    n_described = 0 if variant == "OUTPUT" else config.n_description  # from tokens alone
    shown = n_described + 2 * n_samples  # graded twice with pictures, once without
    read = config.n_description + N_SCORED * n_samples
    return shown * pictures + read * WORDS + INSTRUCTIONS * (1 + N_SCORED * N_ROUNDS)


def _dollars(config: InterpConfig, prompt: int, reply: int) -> str:
    price = config.endpoint.prices.get(config.model)
    if price is None:
        return "price not known (`auto_interp.endpoint.prices`)"
    budget = config.endpoint.budget_usd
    cost = (price[0] * prompt + price[1] * reply) / 1e6
    limit = "no budget is set" if budget is None else f"the budget is ${budget:,.2f}"
    return f"${cost:,.2f}, and {limit}"
