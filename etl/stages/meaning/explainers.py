"""Who describes and who grades, as the configuration says, and what they may spend."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from feature_atlas.etl.config.causes import InterpConfig
from feature_atlas.etl.stages.meaning.reply_ledger import ReplyLedger, open_ledger
from feature_atlas.etl.study import Study
from feature_atlas.meaning.auto_interp import Explainer, Variant
from feature_atlas.meaning.chat_endpoint import ChatEndpoint
from feature_atlas.meaning.explainer_offline import OfflineExplainer
from feature_atlas.meaning.explainer_openai import OpenAIExplainer
from feature_atlas.meaning.interp_samples import Sample
from feature_atlas.meaning.request_pace import RequestPace
from feature_atlas.meaning.spending import Price, Spending
from feature_atlas.models.secret import secret

DEFAULT_URL = "https://api.openai.com/v1"


class Pair(NamedTuple):
    """Who works on one variant."""

    describer: Explainer
    grader: Explainer
    """The same, unless `auto_interp.grader_model` names another."""


class Endpoints(NamedTuple):
    """The models behind the endpoint, and what they share."""

    describer: ChatEndpoint
    grader: ChatEndpoint
    spending: Spending
    ledger: ReplyLedger

    def pair(self, variant: Variant, config: InterpConfig) -> Pair:
        """Describer and grader of one variant."""
        return Pair(
            OpenAIExplainer(self.describer, variant, config.detail),
            OpenAIExplainer(self.grader, variant, config.detail),
        )


def offline_pair(background: list[Sample], variant: Variant) -> Pair:
    """Without a language model: the same rules describe and grade."""
    explainer = OfflineExplainer(background, variant=variant)
    return Pair(explainer, explainer)


@contextmanager
def open_endpoints(study: Study, stage: str) -> Iterator[Endpoints]:
    """The endpoint of a run, with what its earlier attempts have spent."""
    config = study.config.auto_interp
    require_prices(config)
    key = require_key()
    with open_ledger(study.run, stage) as ledger:
        spending = _spending(config, ledger)
        pace = RequestPace(config.endpoint.requests_per_minute, config.endpoint.tokens_per_minute)
        describer, grader = (
            ChatEndpoint(
                base_url=config.endpoint.base_url or DEFAULT_URL,
                model=model,
                api_key=key,
                store=ledger,
                spending=spending,
                pace=pace,
                seed=study.config.seed,
                tokens_per_picture=config.endpoint.tokens_per_picture,
                timeout_s=config.endpoint.timeout_s,
                max_retries=config.endpoint.max_retries,
            )
            for model in (config.model, config.grader_model or config.model)
        )
        yield Endpoints(describer, grader, spending, ledger)


def _spending(config: InterpConfig, ledger: ReplyLedger) -> Spending:
    spending = Spending(
        {model: Price(*price) for model, price in config.endpoint.prices.items()},
        budget_usd=config.endpoint.budget_usd,
        budget_tokens=config.endpoint.budget_tokens,
    )
    for model, tokens in ledger.spent().items():
        spending.spent_before(model, tokens)
    return spending


def require_prices(config: InterpConfig) -> None:
    """A budget in dollars is none if the price of a model is not known."""
    wanted = {config.model, config.grader_model or config.model}
    unknown = sorted(wanted - config.endpoint.prices.keys())
    if config.endpoint.budget_usd is not None and unknown:
        raise ValueError(
            f"auto_interp.endpoint.budget_usd is set, but endpoint.prices has no price for "
            f"{', '.join(unknown)}: expected [dollars per million prompt tokens, per million reply "
            "tokens] by model. Or set budget_tokens."
        )


def require_key() -> str:
    """The endpoint's key, never from a configuration."""
    key = secret("OPENAI_API_KEY")
    if not key:
        raise ValueError(
            "auto_interp.explainer is 'openai' but OPENAI_API_KEY is not set: set it (any word "
            "for a local server without keys), or use the 'offline' explainer."
        )
    return key
