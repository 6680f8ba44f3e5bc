"""What a stage of descriptions will cost, said before the first request leaves.

The very messages are built, with a blank in place of every picture, and counted as the budget
counts them. Replies are taken to be as long as they are asked to be; repairs are not foreseen.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from feature_atlas.etl.stages.meaning.explainers import Endpoints, Pair
from feature_atlas.etl.stages.meaning.interp_material import Material
from feature_atlas.etl.terminal import console
from feature_atlas.meaning.auto_interp import Variant
from feature_atlas.meaning.explainer_openai import OpenAIExplainer
from feature_atlas.meaning.interp_samples import Sample, blinded, without_picture
from feature_atlas.meaning.spending import Tokens

DESCRIPTION_TOKENS = 60
VERDICT_TOKENS = 3
"""Of a reply, and per sample of a reply."""
N_ROUNDS = 2
SOME_DESCRIPTION = "questions about whether one thing is on the left of another thing"


class Estimate:
    """Requests and tokens by model."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.prompt: Counter[str] = Counter()
        self.reply: Counter[str] = Counter()

    def add(self, model: str, prompt: int, reply: int) -> None:
        """One more request."""
        self.requests[model] += 1
        self.prompt[model] += prompt
        self.reply[model] += reply


def estimate(
    pairs: Mapping[Variant, Pair], material: Mapping[Variant, Sequence[Material]], n_heads: int
) -> Estimate:
    """Of describing and scoring every feature in every variant."""
    total = Estimate()
    for variant, pair in pairs.items():
        n_overlays = n_heads if variant == "OVERLAY" else 0
        for one in material[variant]:
            _add_feature(total, pair, one, n_overlays)
    return total


def _add_feature(total: Estimate, pair: Pair, material: Material, n_overlays: int) -> None:
    describer, grader = pair
    assert isinstance(describer, OpenAIExplainer)
    assert isinstance(grader, OpenAIExplainer)
    asked = (
        describer.to_describe_output(material.written)
        if describer.variant == "OUTPUT" and material.written
        else describer.to_describe(blank_pictures(material.describe, n_overlays))
    )
    total.add(describer.model, describer.endpoint.estimate(asked), DESCRIPTION_TOKENS)
    scored = [blinded(s) for s in (*material.scored.positives, *material.scored.negatives)]
    seen, unseen = blank_pictures(scored, n_overlays), [without_picture(s) for s in scored]
    for samples in (seen, seen, unseen):  # its own sentence, another's, without pictures
        for part in np.array_split(np.arange(len(samples)), N_ROUNDS):
            asked = grader.to_classify(SOME_DESCRIPTION, [samples[i] for i in part])
            tokens = VERDICT_TOKENS * len(part) + DESCRIPTION_TOKENS
            total.add(grader.model, grader.endpoint.estimate(asked), tokens)


def blank_pictures(samples: Sequence[Sample], n_overlays: int = 0) -> list[Sample]:
    """With a blank for every picture and overlay: these are counted, not looked at."""
    blank = Image.new("RGB", (1, 1))
    return [sample._replace(image=blank, overlays=[blank] * n_overlays) for sample in samples]


def announce(endpoints: Endpoints, stage: str, total: Estimate) -> None:
    """Print what will be asked, what it may cost, and what is spent already."""
    spending = endpoints.spending
    console.print(
        f"{stage} asks {endpoints.describer.base_url}: about", highlight=False, markup=False
    )
    for model, n_requests in total.requests.items():
        tokens = Tokens(total.prompt[model], total.reply[model])
        console.print(
            f"  {n_requests:,} requests to {model}, {tokens.prompt:,} tokens to it and "
            f"{tokens.reply:,} from it: {_dollars(spending.cost(model, tokens))}",
            highlight=False,
            markup=False,
        )
    console.print(
        f"  {len(endpoints.ledger):,} answers are here already, {spending.n_tokens:,} tokens; they "
        f"are not asked for again. Budget: {_budget(endpoints)}",
        highlight=False,
        markup=False,
    )


def _dollars(cost: float | None) -> str:
    return "price not known" if cost is None else f"${cost:,.2f}"


def _budget(endpoints: Endpoints) -> str:
    spending = endpoints.spending
    limits = []
    if spending.budget_usd is not None:
        limits.append(f"${spending.budget_usd:,.2f}")
    if spending.budget_tokens is not None:
        limits.append(f"{spending.budget_tokens:,} tokens")
    return " and ".join(limits) or "none set (`auto_interp.endpoint.budget_usd`)"
